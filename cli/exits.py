"""What the exit codes mean; docs/cli.md lists them."""

from typing import Any

REFUSED = 1
"""The service refused, or an answer is not what it should be."""
USAGE = 2
"""The command line is wrong: an unknown option, a file that is not there."""
UNREACHABLE = 3
"""There is no service at the URL, or it went away."""
NO_KEY = 4
"""The API key is missing, not known, or may not do this."""
UNHEALTHY, FAILED, CANCELLED, UNKNOWN = 10, 11, 12, 13
"""Of a job that was followed to its end. 13: it succeeded, and there was too little to judge it by."""
INTERRUPTED = 130
"""Ctrl-C."""
BROKEN_PIPE = 141
"""Whoever read the output has gone."""

OF_STATUS = {"failed": FAILED, "cancelled": CANCELLED}
OF_VERDICT = {"unhealthy": UNHEALTHY, "unknown": UNKNOWN}


def code_of(job: dict[str, Any]) -> int:
    """Of a job that has ended: 0 if it succeeded and is healthy, or has nothing but warnings."""
    return OF_STATUS.get(job["status"]) or OF_VERDICT.get(job["verdict"], 0)
