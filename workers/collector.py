"""Removes files that nobody needs any more, now and then."""

import logging
import threading

from sqlalchemy.exc import SQLAlchemyError

from models.artifacts import remove_orphans
from models.database import Database
from models.settings import Settings
from models.storage import StorageAway, open_storage
from workers.checkpoint_files import collect_ended

log = logging.getLogger(__name__)

EVERY_SECONDS = 600.0
STOP_SECONDS = 1.0
"""To wait for the thread, which a slow disk or a frozen database may hold: nothing is lost with it."""


class Collector:
    """A thread of its own: to remove files may take longer than a lease can wait."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._collect_often, name="collector", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(STOP_SECONDS)

    def _collect_often(self) -> None:
        every = min(EVERY_SECONDS, max(self._settings.checkpoint_retention_seconds, 1.0))
        while not self._stopping.is_set():
            try:
                self._collect()
            except (SQLAlchemyError, OSError, StorageAway) as problem:
                log.warning("nothing collected: %s", problem)
            self._stopping.wait(every)

    def _collect(self) -> None:
        with self._database.read() as connection:
            gone = collect_ended(connection, self._settings.data, self._settings.checkpoint_retention_seconds)
        if gone:
            log.info("removed the checkpoints of %s job(s)", len(gone))
        with self._database.read() as connection:
            orphans = remove_orphans(connection, open_storage(self._settings))
        if orphans:
            log.info("removed the models of %s job(s) that were deleted", len(orphans))
