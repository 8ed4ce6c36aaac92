"""A job's history as server-sent events (WHATWG HTML, section 9.2), for as long as somebody listens."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Row
from sqlalchemy.exc import SQLAlchemyError

from models import queries
from models.database import Database
from models.errors import NotFound
from models.states import TERMINAL
from service.times import rfc3339
from service.watcher import Place

MOST_SECONDS = 60.0
"""Then the client comes again, and says what it has. Each stream holds a thread."""
HEARTBEAT_SECONDS = 10.0
"""For proxies to leave a silent line alone, and for us to learn that nobody listens any more."""
AT_ONCE = 200
GREETING = b"retry: 1000\n\n"
HEARTBEAT = b": still here\n\n"


class Feed:
    """The events of a job behind one of them, those that are there and those to come."""

    def __init__(self, database: Database, place: Place, job_id: str, owner: str, after: int) -> None:
        self._database = database
        self._place = place
        self._job_id = job_id
        self._owner = owner
        self._after = after

    def __iter__(self) -> Iterator[bytes]:
        """Ends with the job, after MOST_SECONDS, or with this process. No database connection is held in between."""
        ends_at = time.monotonic() + MOST_SECONDS
        yield GREETING
        try:
            while True:
                has_ended, rows = self._read()
                for row in rows:
                    self._after = row.id
                    yield as_text(row)
                if len(rows) == AT_ONCE:
                    continue
                left = ends_at - time.monotonic()
                if has_ended or left <= 0 or self._place.is_closed:
                    return
                if not self._place.wait(
                    self._job_id, lambda mark: mark.event > self._after, min(left, HEARTBEAT_SECONDS)
                ):
                    yield HEARTBEAT
        except (SQLAlchemyError, NotFound):
            # The database is away, or the job was deleted: whoever comes again is told so.
            return

    def is_over(self) -> bool:
        """Whether the job has ended, and all is known of it.

        Raises:
            NotFound
        """
        has_ended, rows = self._read(limit=1)
        return has_ended and not rows

    def _read(self, limit: int = AT_ONCE) -> tuple[bool, Sequence[Row[Any]]]:
        with self._database.read() as connection:
            # In this order: what has ended by now has all its events.
            has_ended = queries.find_version(connection, self._job_id, self._owner).status in TERMINAL
            return has_ended, queries.list_events(connection, self._job_id, self._after, limit)


def shown(row: Row[Any]) -> dict[str, Any]:
    """An event in JSON types."""
    return {"id": row.id, "type": row.type, "at": rfc3339(row.at), "attempt": row.attempt, "data": row.data}


def as_text(row: Row[Any]) -> bytes:
    """JSON has no line breaks of its own, so that it is one line of `data`."""
    data = to_json(shown(row), inf_nan_mode="null")
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (row.id, row.type.encode(), data)
