"""Does tasks of some kinds, one after the other, beside the jobs of a worker.

A thread that claims a task, hands it to its process, keeps the lease and writes what comes of it. The process is forked
when there is work and sent away when there was none for a while.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from models import artifacts, tasks
from models.database import Database
from models.errors import DescentError
from models.lifecycle import LeaseLost, error
from models.logs import about
from models.orders import facts_of, trail_of
from models.settings import Settings
from models.storage import open_storage
from models.tasks import Kind, TaskClaim
from models.trail import Trail
from workers.task_process import Order, Outcome, TaskProcess
from workers.traces import traced

if TYPE_CHECKING:
    from models.spans import Tracing

log = logging.getLogger(__name__)

LANES: tuple[tuple[Kind, ...], ...] = ((Kind.EXPORT,), (Kind.EVALUATION, Kind.PREDICTION))
"""What a client waits for is not to hold up the files of the next job."""
IDLE_SECONDS = 60.0
"""Without work, until the process is sent away."""
LOOK_SECONDS = 0.1
BEATS_PER_LEASE = 6
RETRY_SECONDS = 0.5
STOP_SECONDS = 3.0


class Lane:
    """Of one worker."""

    def __init__(
        self,
        worker_id: str,
        kinds: tuple[Kind, ...],
        database: Database,
        settings: Settings,
        tracing: "Tracing | None" = None,
    ) -> None:
        self._worker_id = worker_id
        self._kinds = kinds
        self._database = database
        self._settings = settings
        self._tracing = tracing
        self._process: TaskProcess | None = None
        self._worked_at = time.monotonic()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="-".join(kinds), daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ring(self) -> None:
        """There may be work."""
        self._wake.set()

    def leave(self) -> None:
        """Begins to give back what is under way."""
        self._stopping.set()
        self._wake.set()

    def stop(self) -> None:
        """Returns when that is done, or takes too long: the lease runs out by itself."""
        self.leave()
        if self._thread.is_alive():  # a worker may be told to leave while it starts
            self._thread.join(STOP_SECONDS)
        if self._process is not None:
            self._process.kill()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                while not self._stopping.is_set() and self._work():
                    self._worked_at = time.monotonic()
                if time.monotonic() - self._worked_at > IDLE_SECONDS:
                    self._send_away()
            except LeaseLost as lost:
                log.warning("%s is not ours any more", lost)
            except SQLAlchemyError as problem:
                log.warning("no task could be claimed or written: %s", problem)
            except Exception:  # whatever it was, this thread has tasks to do
                log.exception("unexpected")
                self._send_away()
            self._wake.wait(self._settings.idle_poll_seconds)
        self._send_away()

    def _work(self) -> bool:
        """One task, if there is any."""
        with self._database.read() as connection:
            if not tasks.is_work(connection, self._kinds):
                return False
        with self._database.write(durable=False) as connection:
            task = tasks.claim(connection, self._worker_id, self._kinds, self._settings.lease_seconds)
        if task is None:
            return False
        with self._database.read() as connection:
            trail = trail_of(connection, task.job_id)
        with about(trail, job_id=task.job_id, task_id=task.id), traced(self._tracing, task, trail):
            self._do(task, trail)
        return True

    def _do(self, task: TaskClaim, trail: Trail) -> None:
        outcome = self._outcome(task, trail)
        self._write(lambda connection: self._record(connection, task, outcome))
        if task.kind == Kind.PREDICTION and isinstance(outcome, Outcome):
            self._remove_upload(task)

    def _remove_upload(self, task: TaskClaim) -> None:
        """Of a prediction that has ended: what was sent is not needed any more, and goes with the job at the latest."""
        with suppress(DescentError, OSError):
            open_storage(self._settings).delete(task.request["upload"]["key"])

    def _outcome(self, task: TaskClaim, trail: Trail) -> Outcome | str:
        """What came of it, or why nothing did."""
        with self._database.read() as connection:
            checkpoint = artifacts.checkpoint_of(connection, task.job_id)
            facts = facts_of(connection, task.job_id)
        if checkpoint is None:
            detail = "The job has no checkpoint of its best epoch."
            return Outcome(error=error("no_model", "The job has no model", detail, "user", retryable=False))
        if self._process is None or not self._process.is_alive:
            self._send_away()
            self._process = TaskProcess(self._settings)
        try:
            self._process.begin(Order(task.kind, task.job_id, checkpoint, task.request, facts, trail))
            return self._await(task, self._process)
        except (EOFError, OSError):
            return f"its process died (exit code {self._process.close()})"
        except BaseException:
            # Whatever it answers later would be taken for the answer to the next task.
            self._send_away()
            raise

    def _await(self, task: TaskClaim, process: TaskProcess) -> Outcome | str:
        """Renews the lease meanwhile."""
        began = renewed = time.monotonic()
        while (outcome := process.outcome(LOOK_SECONDS)) is None:
            now = time.monotonic()
            if self._stopping.is_set():
                return ""
            if now - began > self._settings.task_seconds:
                self._send_away()
                return f"it took longer than {self._settings.task_seconds:g} s (DESCENT_TASK_SECONDS)"
            if now - renewed > self._settings.lease_seconds / BEATS_PER_LEASE:
                renewed = now
                self._write(lambda connection: tasks.renew(connection, task, self._settings.lease_seconds))
        return outcome

    def _record(self, connection: Connection, task: TaskClaim, outcome: Outcome | str) -> None:
        if isinstance(outcome, str):
            log.warning("%s: %s", task.id, outcome or "given back")
            is_left = tasks.give_back(connection, task, outcome, counts=bool(outcome))
            if not is_left and task.kind == Kind.EXPORT:
                artifacts.fail_pending(connection, task.job_id, outcome)
        elif outcome.error is not None:
            if outcome.error["class"] == "infrastructure" and outcome.error["retryable"]:
                self._record(connection, task, str(outcome.error["detail"]))
                return
            tasks.fail(connection, task, outcome.error)
            if task.kind == Kind.EXPORT:
                artifacts.fail_pending(connection, task.job_id, str(outcome.error["detail"]))
        else:
            tasks.succeed(connection, task, outcome.result or {})
            artifacts.settle(connection, task.job_id, list(outcome.made))

    def _write(self, write: Callable[[Connection], None]) -> None:
        """While the database is away, again and again."""
        while True:
            try:
                with self._database.write() as connection:
                    write(connection)
                return
            except SQLAlchemyError as problem:
                log.warning("the database is away: %s", problem)
                if self._stopping.wait(RETRY_SECONDS):
                    raise

    def _send_away(self) -> None:
        if self._process is not None:
            self._process.close()
            self._process = None
