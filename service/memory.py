"""How much memory a job may need: a setting, or what the largest registered worker has, or this machine."""

import time

from models import workers
from models.database import Database
from models.machine import memory_bytes
from models.settings import Settings

FRESH_SECONDS = 10.0


class MemoryLimit:
    """Asks the register of workers every few seconds."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._fixed = settings.memory_bytes
        self._asked_at = -FRESH_SECONDS
        self._largest = 0

    def limit(self) -> int:
        """Bytes."""
        if self._fixed:
            return self._fixed
        if time.monotonic() - self._asked_at > FRESH_SECONDS:
            with self._database.read() as connection:
                self._largest = workers.largest_memory(connection) or memory_bytes()
            self._asked_at = time.monotonic()
        return self._largest
