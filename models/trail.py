"""The trail of what happens: the request that asked for it, and the trace that it is part of.

A thread knows that of what it does at the moment, and a job its own: so the lines of a worker's log name the request
that made the job.
"""

import re
from contextvars import ContextVar
from typing import NamedTuple

TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
"""W3C Trace Context: version, trace, span, flags."""


class Trail(NamedTuple):
    request_id: str | None = None
    traceparent: str | None = None
    """The span in which it happens."""

    @property
    def trace_id(self) -> str | None:
        return self.traceparent and self.traceparent.split("-")[1]


NO_TRAIL = Trail()
_here: ContextVar[Trail] = ContextVar("trail", default=NO_TRAIL)


def trail() -> Trail:
    """Of what this thread does."""
    return _here.get()


def follow(found: Trail) -> None:
    """From now on this thread does what was asked for there."""
    _here.set(found)


def traceparent_of(header: str | None) -> str | None:
    """What a caller sent, if it is one: by the standard all else is ignored."""
    return header if header and TRACEPARENT.fullmatch(header) else None
