"""One thread in each process watches the jobs that anyone waits for; no waiter holds a database connection."""

import logging
import threading
import time
from collections import Counter

from sqlalchemy.exc import SQLAlchemyError

from models.database import Database
from models.errors import DescentError
from models.queries import versions

log = logging.getLogger(__name__)

POLL_SECONDS = 0.05


class TooManyWaiters(DescentError):
    """Too many requests wait at this process."""


class Watcher:
    """Waits for jobs to change."""

    def __init__(self, database: Database, most_waiters: int) -> None:
        self._database = database
        self._most_waiters = most_waiters
        self._changed = threading.Condition()
        self._watched: Counter[str] = Counter()
        self._versions: dict[str, int] = {}
        self._thread: threading.Thread | None = None

    def wait(self, job_id: str, version: int, seconds: float) -> None:
        """Returns when the job has a later version, or when the time is over.

        Raises:
            TooManyWaiters
        """
        with self._changed:
            if self._watched.total() >= self._most_waiters:
                raise TooManyWaiters(f"{self._most_waiters} requests wait at once, the most allowed (DESCENT_WAITERS).")
            self._watched[job_id] += 1
            self._start()
            try:
                self._changed.wait_for(lambda: self._versions.get(job_id, version) > version, seconds)
            finally:
                self._watched[job_id] -= 1
                self._watched += Counter()  # drops those that nobody watches

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="watcher", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _watch(self) -> None:
        while True:
            with self._changed:
                self._versions.clear()
                self._changed.wait_for(lambda: self._watched)
                watched = list(self._watched)
            found = self._read(watched)
            with self._changed:
                self._versions.update(found)
                self._changed.notify_all()
            time.sleep(POLL_SECONDS)

    def _read(self, job_ids: list[str]) -> dict[str, int]:
        try:
            with self._database.read() as connection:
                return versions(connection, job_ids)
        except SQLAlchemyError as error:
            log.warning("the database is away: %s", error)
            return {}
