"""What the registered workers can take, asked of their register every few seconds."""

import time

from models import workers
from models.capacity import Capacity, capacity_of
from models.database import Database
from models.settings import Settings

FRESH_SECONDS = 10.0


class KnownCapacity:
    """The capacity, and when it was asked for."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._fixed_memory = settings.memory_bytes
        self._asked_at = -FRESH_SECONDS
        self._capacity = Capacity(0)

    def now(self) -> Capacity:
        """At most FRESH_SECONDS old."""
        if time.monotonic() - self._asked_at > FRESH_SECONDS:
            with self._database.read() as connection:
                self._capacity = capacity_of(workers.registered(connection), self._fixed_memory)
            self._asked_at = time.monotonic()
        return self._capacity
