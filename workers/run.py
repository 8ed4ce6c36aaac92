"""One job from claim to finish. Read this first.

The scheduler claims a job and gives it to a `Run`, in a thread of its own. The run hands it to a runner, a process that
was forked before, and writes what that reports; when it returns, the job has ended, waits again, or is paused.
"""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from pydantic import ValidationError
from sqlalchemy import Connection
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from models.claims import Claim
from models.database import Database
from models.definitions.data import Data
from models.errors import DescentError
from models.lifecycle import LeaseLost, error, fail, give_back
from models.recording import record, without_statistics
from models.repairs import Limits
from models.reports import Checkpointed, Ended, Report
from models.settings import Settings
from models.storage import open_storage
from workers.checkpoint_files import CheckpointFiles
from workers.datasets.shelf import fetch
from workers.datasets.uploaded import Files
from workers.devices import await_released, visible_gpus_of
from workers.memory import OutOfMemory
from workers.model_files import ModelFiles
from workers.process import RunnerProcess
from workers.told import Told
from workers.traces import AttemptTrace

if TYPE_CHECKING:
    from models.spans import Tracing

log = logging.getLogger(__name__)

Result = TypeVar("Result")

RETRY_SECONDS = 0.5
CANCEL_GRACE_SECONDS = 3.0
"""To finish a step. A runner that takes longer is killed: a cancelled job holds no device."""
CHECKPOINT_GRACE_SECONDS = 10.0
"""To finish a step and to write a checkpoint, at a pause or when the worker shuts down; else the one before counts."""
AWAY = (OperationalError, InterfaceError)
"""The database cannot be reached, or has no room: what could not be written is tried again."""


class Run:
    """An attempt of this worker at a job."""

    def __init__(
        self,
        claim: Claim,
        runner: RunnerProcess,
        database: Database,
        settings: Settings,
        tracing: "Tracing | None" = None,
    ) -> None:
        self.claim = claim
        self._runner = runner
        self._database = database
        self._settings = settings
        self._gpus = visible_gpus_of(claim.devices)
        self._limits = Limits(settings.queued_jobs, settings.body_bytes, settings.memory_bytes)
        self._checkpoints = CheckpointFiles(settings.data, claim.job_id)
        self._memory = OutOfMemory()
        self._claimed_monotonic = time.monotonic()
        self._heard_monotonic = self._claimed_monotonic
        self._batches = 0
        self._leaving = threading.Event()
        self._fenced_out = threading.Event()
        self._asked_at: dict[str, float] = {}
        self._killed_for: str | None = None
        self._trace = AttemptTrace(tracing, claim, runner.pid) if tracing else None

    @property
    def pid(self) -> int:
        """The process in which the job trains."""
        return self._runner.pid

    @property
    def silent_seconds(self) -> float:
        """Since the runner last said how far it is."""
        return time.monotonic() - self._heard_monotonic

    def run(self) -> bool:
        """Hands the job over and records until it has ended; gives it back if its runner dies before.

        Gives whether the slot is free already, for the runner holds no GPU and has nothing left to do but exit.
        """
        try:
            self._begin()
            ended = self._record_all()
            if not ended and not self._fenced_out.is_set():
                self._give_back(self._runner.close())
        except LeaseLost:
            log.warning("%s: attempt %s has lost its lease", self.claim.job_id, self.claim.attempt)
            return False
        finally:
            if self._trace:
                self._trace.end()
        return ended and not self._asked_at and not self._gpus

    def _begin(self) -> None:
        settings = self._settings
        try:
            definition = self.claim.definition
        except ValidationError as problem:
            detail = f"{problem.error_count()} fields of the stored definition are not understood by this version."
            self._fail(error("definition_not_understood", "An old definition", detail, "user", retryable=False))
        datasets = settings.data.absolute() / "datasets"
        checkpoints = self._checkpoints.of(self.claim, settings.checkpoint_seconds)
        models = ModelFiles(settings, self.claim.job_id)
        files = self._fetch(definition.data)
        ids = {"job_id": self.claim.job_id, "attempt": self.claim.attempt}
        told = Told(self.claim.trail, ids, traced=self._trace is not None)
        self._runner.begin(definition, self._gpus, datasets, settings.resident_bytes, checkpoints, files, models, told)
        # What was asked before there was anybody to hear it.
        for what in list(self._asked_at):
            self._runner.ask(what)

    def _fetch(self, data: Data) -> Files:
        """The files of uploaded data sets: a runner knows no storage."""
        if not data.uploads:
            return {}
        try:
            return fetch(data, open_storage(self._settings))
        except DescentError as problem:
            self._fail(error("data_unavailable", "The data could not be read", str(problem), "data", retryable=True))
        finally:
            # It may take long to copy them here.
            self._heard_monotonic = time.monotonic()

    def close(self) -> None:
        """Returns when the runner has gone, and its GPUs are free of it."""
        self._runner.close()
        if self._gpus and not await_released(self.pid):
            log.error("%s: process %s is gone, but the driver still lists it", self.claim.job_id, self.pid)

    def cancel(self, mode: str) -> None:
        """Asks the runner to stop after its step; with `force`, or when it takes too long, kills it."""
        self._ask("cancel", 0.0 if mode == "force" else CANCEL_GRACE_SECONDS)

    def pause(self) -> None:
        """Asks the runner to write a checkpoint and to go; kills it when that takes too long."""
        self._ask("pause", CHECKPOINT_GRACE_SECONDS)

    def leave(self) -> None:
        """The worker shuts down: the job goes on elsewhere from its checkpoint, and the attempt does not count."""
        self._leaving.set()
        self._ask("leave", CHECKPOINT_GRACE_SECONDS)
        timer = threading.Timer(CHECKPOINT_GRACE_SECONDS, self._runner.kill)
        timer.daemon = True
        timer.start()

    def stall(self) -> None:
        """The job does not advance any more: the attempt is lost."""
        self._killed_for = f"it did not advance for {self._settings.stall_seconds:g} s"
        self._runner.kill()

    def abandon(self) -> None:
        """The lease is lost, or cannot be renewed: stop, and write nothing more."""
        self._fenced_out.set()
        self._runner.kill()

    def _ask(self, what: str, grace: float) -> None:
        """Called again and again while it is wanted."""
        now = time.monotonic()
        asked_at = self._asked_at.setdefault(what, now)
        if asked_at == now:
            self._runner.ask(what)
        if now - asked_at >= grace:
            self._runner.kill()

    def _record_all(self) -> bool:
        """Writes what the runner reports; true if it reported the end."""
        for reports in self._runner.reports():
            self._heard_monotonic = time.monotonic()
            self._batches += 1
            if self._trace:
                self._trace.hear(reports)
            last = reports[-1]
            self._write(reports, durable=any(isinstance(report, Checkpointed | Ended) for report in reports))
            self._checkpoints.collect(reports)
            if isinstance(last, Ended):
                log.info("%s: attempt %s %s", self.claim.job_id, self.claim.attempt, last.outcome)
                return True
        return False

    def _write(self, reports: list[Report], durable: bool) -> None:
        """The reports; without their statistics, if it is those that the database refuses; or the job is failed."""
        try:
            self._persist(partial(self._record, reports), durable)
        except SQLAlchemyError:
            log.exception("%s: the database refuses what the job reports; without its statistics", self.claim.job_id)
            try:
                self._persist(partial(self._record, without_statistics(reports)), durable)
            except SQLAlchemyError as problem:
                log.exception("%s: the database refuses what the job reports", self.claim.job_id)
                detail = f"The database refused what the job reported: {type(problem).__name__}."
                title = "The results could not be recorded"
                self._fail(error("not_recorded", title, detail, "infrastructure", retryable=True))

    def _fail(self, problem: dict[str, Any]) -> NoReturn:
        """Ends the job, and with it this attempt."""
        self._runner.kill()
        self._persist(lambda connection: fail(connection, self.claim.job_id, self.claim.attempt, problem))
        raise LeaseLost(self.claim.job_id)

    def _record(self, reports: list[Report], connection: Connection) -> None:
        record(connection, self.claim, reports, self._claimed_monotonic, self._batches, self._limits)

    def _give_back(self, exit_code: int | None) -> None:
        leaving, claim, attempts = self._leaving.is_set(), self.claim, self._settings.max_attempts
        reason = self._killed_for or f"its process died ({_how(exit_code)})"
        reason = "its worker is shutting down" if leaving else reason

        def move(connection: Connection) -> None:
            if self._memory.was_the_end(exit_code) and not leaving and self._killed_for is None:
                status = fail(connection, claim.job_id, claim.attempt, self._memory.error())
            else:
                status = give_back(connection, claim.job_id, claim.attempt, reason, attempts, counts=not leaving)
            log.warning("%s: attempt %s: %s; now %s", claim.job_id, claim.attempt, reason, status)

        self._persist(move)

    def _persist(self, write: Callable[[Connection], Result], durable: bool = True) -> Result:
        """One transaction; while the database is away, again and again, for as long as the lease holds."""
        while True:
            if self._fenced_out.is_set():
                raise LeaseLost(self.claim.job_id)
            try:
                with self._database.write(durable) as connection:
                    return write(connection)
            except AWAY as problem:
                log.warning("%s: the database is away: %s", self.claim.job_id, problem.orig)
                self._fenced_out.wait(RETRY_SECONDS)


def _how(exit_code: int | None) -> str:
    return f"signal {-exit_code}" if exit_code is not None and exit_code < 0 else f"exit code {exit_code}"
