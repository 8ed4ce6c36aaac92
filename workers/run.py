"""One job from claim to finish. Read this first.

The scheduler claims a job and gives it to a `Run`, in a thread of its own. The run hands it to a runner, a process that
was forked before, and writes what that reports; when it returns, the job has ended or waits again.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from models.database import Database
from models.lifecycle import Claim, LeaseLost, give_back
from models.recording import record
from models.reports import Ended, Report
from models.settings import Settings
from workers.devices import Slot
from workers.process import RunnerProcess

log = logging.getLogger(__name__)

Result = TypeVar("Result")

RETRY_SECONDS = 0.5
CANCEL_GRACE_SECONDS = 3.0


class Run:
    """An attempt of this worker at a job."""

    def __init__(self, claim: Claim, slot: Slot, runner: RunnerProcess, database: Database, settings: Settings) -> None:
        self.claim = claim
        self.slot = slot
        self._runner = runner
        self._database = database
        self._settings = settings
        self._claimed_monotonic = time.monotonic()
        self._leaving = threading.Event()
        self._fenced_out = threading.Event()
        self._cancelled_at: float | None = None

    @property
    def pid(self) -> int:
        """The process in which the job trains."""
        return self._runner.pid

    def run(self) -> bool:
        """Hands the job over and records until it has ended; gives it back if its runner dies before.

        Gives whether the slot is free already, for the runner holds no GPU and has nothing left to do but exit.
        """
        datasets = self._settings.data.absolute() / "datasets"
        self._runner.begin(self.claim.definition, self.slot.visible_gpu, datasets, self._settings.resident_bytes)
        try:
            ended = self._record_all()
        except LeaseLost:
            log.warning("%s: attempt %s has lost its lease", self.claim.job_id, self.claim.attempt)
            return False
        if not ended and not self._fenced_out.is_set():
            self._give_back(self._runner.close())
        return ended and self._cancelled_at is None and self.slot.device == "cpu"

    def close(self) -> None:
        """Returns when the runner has gone."""
        self._runner.close()

    def cancel(self, mode: str) -> None:
        """Asks the runner to stop after its step; with `force`, or when it takes too long, kills it."""
        now = time.monotonic()
        if self._cancelled_at is None:
            self._cancelled_at = now
        self._runner.cancel()
        if mode == "force" or now - self._cancelled_at > CANCEL_GRACE_SECONDS:
            self._runner.kill()

    def leave(self) -> None:
        """The worker shuts down: the job goes back to the queue, and the attempt does not count."""
        self._leaving.set()
        self._runner.kill()

    def abandon(self) -> None:
        """The lease is lost, or cannot be renewed: stop, and write nothing more."""
        self._fenced_out.set()
        self._runner.kill()

    def _record_all(self) -> bool:
        """Writes what the runner reports; true if it reported the end."""
        for reports in self._runner.reports():
            ended = isinstance(reports[-1], Ended)
            self._persist(partial(self._record, reports), durable=ended)
            if ended:
                return True
        return False

    def _record(self, reports: list[Report], connection: Connection) -> None:
        record(connection, self.claim, reports, self._claimed_monotonic)

    def _give_back(self, exit_code: int | None) -> None:
        leaving = self._leaving.is_set()
        reason = "its worker is shutting down" if leaving else f"its process died ({_how(exit_code)})"
        claim, attempts = self.claim, self._settings.max_attempts

        def move(connection: Connection) -> None:
            status = give_back(connection, claim.job_id, claim.attempt, reason, attempts, counts=not leaving)
            log.warning("%s: attempt %s: %s; now %s", claim.job_id, claim.attempt, reason, status)

        with suppress(LeaseLost):
            self._persist(move)

    def _persist(self, write: Callable[[Connection], Result], durable: bool = True) -> Result:
        """One transaction; while the database is away, again and again, for as long as the lease holds."""
        while True:
            try:
                with self._database.write(durable) as connection:
                    return write(connection)
            except OperationalError as problem:
                if self._fenced_out.is_set():
                    raise LeaseLost(self.claim.job_id) from problem
                log.warning("%s: the database is away: %s", self.claim.job_id, problem.orig)
                time.sleep(RETRY_SECONDS)


def _how(exit_code: int | None) -> str:
    return f"signal {-exit_code}" if exit_code is not None and exit_code < 0 else f"exit code {exit_code}"
