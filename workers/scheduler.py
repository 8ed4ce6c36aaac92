"""Claims jobs until the slots are full: at the doorbell, when a slot becomes free, and every few seconds anyway.

A spare runner waits for each free slot before a job is claimed; its successor is forked while the job begins.
"""

import logging
import threading

from sqlalchemy.exc import SQLAlchemyError

from models.database import Database
from models.lifecycle import Claim, claim
from models.settings import Settings
from workers.devices import Slot
from workers.run import Run
from workers.spares import Spares

log = logging.getLogger(__name__)


class Scheduler:
    """The slots of this worker, and the runs that hold them."""

    def __init__(self, worker_id: str, slots: list[Slot], database: Database, settings: Settings) -> None:
        self.worker_id = worker_id
        self.slots = slots
        self._database = database
        self._settings = settings
        # A GPU's job needs a process that knows nothing of CUDA yet.
        self.spares = Spares(len(slots), rehearse=all(slot.device == "cpu" for slot in slots))
        self._runs: dict[Slot, Run] = {}
        self._threads: set[threading.Thread] = set()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._schedule, name="scheduler", daemon=True)

    def warm(self) -> None:
        """Returns when a runner waits for each slot's first job. Before `start`."""
        self.spares.fill()
        self.spares.await_ready()

    def start(self) -> None:
        self._thread.start()

    def ring(self) -> None:
        """There may be work."""
        self._wake.set()

    def stop(self) -> None:
        """Claims nothing more, gives all jobs back, and returns when they are gone."""
        self._stopping.set()
        self._wake.set()
        self._thread.join()
        for run in self.runs():
            run.leave()
        for thread in list(self._threads):
            thread.join()
        self.spares.close()

    def runs(self) -> list[Run]:
        with self._lock:
            return list(self._runs.values())

    def _schedule(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                self._fill_slots()
                self.spares.fill()
            except (SQLAlchemyError, OSError, EOFError):
                log.exception("no job could be claimed, or no runner forked")
            self._wake.wait(self._settings.idle_poll_seconds)

    def _fill_slots(self) -> None:
        self.spares.fill()
        for slot in self._free_slots():
            if self._stopping.is_set() or not (claimed := self._claim(slot)):
                return
            self._start(Run(claimed, slot, self.spares.take(), self._database, self._settings))

    def _start(self, run: Run) -> None:
        log.info("%s: attempt %s on %s, process %s", run.claim.job_id, run.claim.attempt, run.slot.device, run.pid)
        thread = threading.Thread(target=self._run, args=(run,), name=run.claim.job_id, daemon=True)
        with self._lock:
            self._runs[run.slot] = run
            self._threads.add(thread)
        thread.start()

    def _free_slots(self) -> list[Slot]:
        with self._lock:
            return [slot for slot in self.slots if slot not in self._runs]

    def _claim(self, slot: Slot) -> Claim | None:
        with self._database.write(durable=False) as connection:
            return claim(connection, self.worker_id, slot.device, self._settings.lease_seconds)

    def _run(self, run: Run) -> None:
        try:
            if run.run():
                self._free(run)
        except Exception:
            log.exception("%s: the run ended with an error", run.claim.job_id)
        finally:
            run.close()
            self._free(run)
            with self._lock:
                self._threads.discard(threading.current_thread())

    def _free(self, run: Run) -> None:
        """The slot may have its next job, unless it has it already."""
        with self._lock:
            if self._runs.get(run.slot) is not run:
                return
            del self._runs[run.slot]
        self._wake.set()
