"""The queue as this process last read it: where jobs stand in it, without a count for each."""

import time
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row

from models import queries, workers
from models.states import Status

SHORT = 100
"""Jobs up to which the queue is read for each answer: it costs as much as any question."""
FRESH_SECONDS = 1.0
"""How old what is known of a longer queue, and of the workers, may be."""


class KnownQueue:
    """Says of waiting jobs how many are claimed before them, and what they wait for."""

    def __init__(self, lease_seconds: float) -> None:
        self._lease_seconds = lease_seconds
        self._queue_good_until = self._workers_good_until = 0.0
        self._waiting: list[tuple[int, str]] = []
        self._devices: set[str] = set()

    def places(self, connection: Connection, rows: Sequence[Row[Any]]) -> list[dict[str, Any] | None]:
        """The place of each job, None where it does not wait. A job younger than what is known has its place too."""
        if any(row.status == Status.QUEUED for row in rows):
            self._read(connection)
        return [self._place(row) if row.status == Status.QUEUED else None for row in rows]

    def _read(self, connection: Connection) -> None:
        now = time.monotonic()
        if now >= self._queue_good_until:
            if len(self._waiting) > SHORT:
                self._queue_good_until = now + FRESH_SECONDS  # others go on with what was known while this one reads
            self._waiting = queries.waiting(connection)
        if now >= self._workers_good_until or not self._devices:
            self._workers_good_until = now + FRESH_SECONDS
            alive = workers.alive(connection, self._lease_seconds)
            self._devices = {device for worker in alive for device in worker["slots"]}

    def _place(self, row: Row[Any]) -> dict[str, Any]:
        position = 1 + bisect_left(self._waiting, (-row.priority, row.id))
        return {"position": position, "waiting_for": self._waiting_for(row)}

    def _waiting_for(self, row: Row[Any]) -> str:
        if not self._devices:
            return "worker"
        return "gpu" if row.wanted_device == "cuda" and self._devices == {"cpu"} else "slot"
