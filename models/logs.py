"""Logs: each record is a line of JSON, those of libraries too, with the request and the job that it is about.

Modules log by `logging.getLogger(__name__)`. What a line is about is known of the thread: `models.trail.follow`, and
`about(trail, job_id=...)`.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from models.left_out import left_out

# structlog takes rich along where it is installed, for the colours of a console: 5 MB of each process, unused.
with left_out("rich"):
    from structlog.contextvars import bind_contextvars, bound_contextvars, merge_contextvars
    from structlog.processors import EventRenamer, JSONRenderer, TimeStamper
    from structlog.stdlib import ExtraAdder, ProcessorFormatter, add_log_level, add_logger_name

from models.masking import mask_logs
from models.settings import Settings
from models.trail import Trail, follow, trail

TALKATIVE = ("alembic", "celery", "kombu")
"""Libraries whose records of no consequence are left out."""
VISIBLE = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {9: "\t", 10: "\n  "}
"""Control characters, written out; further lines are indented."""
Fields = Any
"""Of a line, as structlog hands them on."""


def start_logs(process: str, settings: Settings) -> None:
    """From now on everything that this process logs goes to stderr, as `DESCENT_LOG_FORMAT` says, without secrets.
    `process` is what it is: `api`, `worker`, `runner`, ..."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter(process, is_json=_wants_json(settings)))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level.upper())
    if settings.log_level != "debug":
        for name in TALKATIVE:
            logging.getLogger(name).setLevel(logging.WARNING)
    # Those of libraries are lines of the log too.
    logging.captureWarnings(True)
    mask_logs(settings.api_key)


def _wants_json(settings: Settings) -> bool:
    return settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty())


class ForPeople(logging.Formatter):
    """What a client sent, a path or a name, begins no line that looks like one of ours, and moves no cursor."""

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).translate(VISIBLE)


def formatter(process: str, is_json: bool) -> logging.Formatter:
    if not is_json:
        return ForPeople(f"%(asctime)s {process} %(levelname)s %(message)s")
    return ProcessorFormatter(
        foreign_pre_chain=[
            TimeStamper(fmt="iso", utc=True, key="time"),
            add_log_level,
            add_logger_name,
            _named(process),
            merge_contextvars,
            ExtraAdder(),
            _add_trail,
            _add_traceback,
        ],
        processors=[ProcessorFormatter.remove_processors_meta, EventRenamer("message"), JSONRenderer(default=str)],
    )


def speak_of(found: Trail, **ids: Any) -> None:
    """From now on what this thread logs is about a job of that trail."""
    follow(found)
    bind_contextvars(**ids)


@contextmanager
def about(found: Trail, **ids: Any) -> Iterator[None]:
    """What this thread logs meanwhile is about a job, a task, ..., of that trail."""
    before = trail()
    follow(found)
    try:
        with bound_contextvars(**ids):
            yield
    finally:
        follow(before)


def _named(process: str) -> Callable[[Any, str, Fields], Fields]:
    def name(logger: Any, method: str, fields: Fields) -> Fields:
        fields.update(process=process, pid=os.getpid())
        return fields

    return name


def _add_trail(logger: Any, method: str, fields: Fields) -> Fields:
    here = trail()
    if here.request_id:
        fields["request_id"] = here.request_id
    if here.trace_id:
        fields["trace_id"] = here.trace_id
    return fields


def _add_traceback(logger: Any, method: str, fields: Fields) -> Fields:
    """The text that `models.masking` left: structlog would write it anew, with secrets."""
    fields.pop("exc_info", None)
    if text := fields["_record"].exc_text:
        fields["exception"] = text
    return fields
