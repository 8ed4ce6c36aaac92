"""The queue as this process last read it: where jobs stand in it, without a count for each."""

import time
from bisect import bisect_left
from typing import Any

from sqlalchemy import Connection, Row

from models import queries, workers
from models.states import Status

SHORT = 100
"""Jobs up to which the queue is read anew each time: it costs as much as any question."""
FRESH_SECONDS = 1.0
"""How old what is known of a longer queue may be."""


class KnownQueue:
    """Says of waiting jobs how many are claimed before them, and what they wait for."""

    def __init__(self, lease_seconds: float) -> None:
        self._lease_seconds = lease_seconds
        self._good_until = 0.0
        self._waiting: list[tuple[int, str]] = []
        self._devices: set[str] = set()

    def place(self, connection: Connection, row: Row[Any]) -> dict[str, Any] | None:
        """The place of a job, None if it does not wait. Its own row need not be known yet."""
        if row.status != Status.QUEUED:
            return None
        if time.monotonic() >= self._good_until:
            self._read(connection)
        position = 1 + bisect_left(self._waiting, (-row.priority, row.id))
        return {"position": position, "waiting_for": self._waiting_for(row)}

    def _read(self, connection: Connection) -> None:
        # Others go on with what was known while this thread reads, and two that read at once do no harm.
        if len(self._waiting) > SHORT:
            self._good_until = time.monotonic() + FRESH_SECONDS
        self._waiting = queries.waiting(connection)
        alive = workers.alive(connection, self._lease_seconds)
        self._devices = {device for worker in alive for device in worker["slots"]}
        if len(self._waiting) > SHORT:
            self._good_until = time.monotonic() + FRESH_SECONDS

    def _waiting_for(self, row: Row[Any]) -> str:
        if not self._devices:
            return "worker"
        return "gpu" if row.wanted_device == "cuda" and self._devices == {"cpu"} else "slot"
