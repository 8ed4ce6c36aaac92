"""The queue and the workers as this process last read them: where jobs stand, what they lack, and when they start."""

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row

from models import outlook, queries
from models.disk import is_full
from models.fleet import Fleet, read_fleet, waiting_for
from models.outlook import Line
from models.settings import Settings
from models.states import Status

SHORT = 100
"""Jobs up to which the queue is read for each answer: it costs as much as any question."""
FRESH_SECONDS = 1.0
"""How old what is known of a longer queue, and of the workers, may be."""


class KnownQueue:
    """Says of waiting jobs how many are claimed before them, what they wait for, and how long."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._queue_good_until = self._fleet_good_until = 0.0
        self._lines: dict[str, Line] = {}
        self._fleet = Fleet()
        self._disk_full = False

    def places(self, connection: Connection, rows: Sequence[Row[Any]]) -> list[dict[str, Any] | None]:
        """The place of each job, None where it does not wait. A job younger than what is known has its place too."""
        if any(row.status == Status.QUEUED for row in rows):
            self._read(connection)
        mean = outlook.mean_seconds(self._lines.values())
        return [self._place(row, mean) if row.status == Status.QUEUED else None for row in rows]

    def totals(self, connection: Connection) -> dict[str, int]:
        """Of all owners: jobs that wait, jobs that run, and slots of living workers."""
        self._read(connection)
        return {"waiting": self._waiting, "running": self._fleet.running, "slots": self._fleet.slots}

    @property
    def _waiting(self) -> int:
        return sum(len(line.waiting) for line in self._lines.values())

    def _read(self, connection: Connection) -> None:
        now = time.monotonic()
        if now >= self._queue_good_until:
            if self._waiting > SHORT:
                self._queue_good_until = now + FRESH_SECONDS  # others go on with what was known while this one reads
            self._lines = queries.lines(connection)
        if now >= self._fleet_good_until or not self._fleet.alive:
            self._fleet_good_until = now + FRESH_SECONDS
            self._fleet = read_fleet(connection, self._settings.lease_seconds)
            self._disk_full = is_full(self._settings)

    def _place(self, row: Row[Any], mean: float | None) -> dict[str, Any]:
        mine = self._lines.get(row.owner) or Line(row.owner, ())
        position = outlook.position(self._lines.values(), mine, row.rank, row.id)
        lacks = waiting_for(row, self._fleet, self._disk_full)
        free_in = [place.free_in for crew in self._fleet.suited(row.wanted_device) for place in crew.places]
        # A job of several slots starts when the last of them is free.
        seconds = None if lacks == "disk" else outlook.start_in(position + row.wanted_slots - 2, free_in, mean)
        eta = None if seconds is None else round(seconds, 1)
        return {"position": position, "waiting_for": lacks, "eta_seconds": eta}
