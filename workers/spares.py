"""Runners that wait for a job: one for each slot, forked ahead of time, so that no job waits for its fork."""

import logging

from models.settings import Settings
from workers.process import RunnerProcess

log = logging.getLogger(__name__)


class Spares:
    """Used by one thread at a time: the worker's start, then its scheduler."""

    def __init__(self, count: int, rehearse: bool, settings: Settings | None = None) -> None:
        """Their logs are as `settings` say."""
        self._settings = settings
        self._count = count
        self._rehearse = rehearse
        self._waiting: list[RunnerProcess] = []

    def fill(self) -> None:
        """Forks what is missing, and replaces the dead."""
        for spare in [spare for spare in self._waiting if not spare.is_alive]:
            log.warning("the spare runner %s has died; there will be another", spare.pid)
            self._waiting.remove(spare)
            spare.close()
        while len(self._waiting) < self._count:
            self._waiting.append(RunnerProcess(self._rehearse, self._settings))

    def await_ready(self) -> None:
        """Returns when each has imported everything, and waits for its job."""
        for spare in self._waiting:
            spare.await_ready()

    def take(self) -> RunnerProcess:
        """The one that has waited longest; after a `fill` there is one for each slot. Where short jobs end while
        others are begun, more are forked."""
        if not self._waiting:
            self.fill()
        return self._waiting.pop(0)

    def ready(self) -> list[int]:
        """The processes that wait for a job by now."""
        return [spare.pid for spare in self._waiting if spare.is_ready]

    def close(self) -> None:
        """Sends all away."""
        for spare in self._waiting:
            spare.close()
        self._waiting.clear()
