"""Claims jobs until the slots are full: at the doorbell, when a slot becomes free, and every few seconds anyway."""

import logging
import threading

from sqlalchemy.exc import SQLAlchemyError

from models.database import Database
from models.lifecycle import Claim, claim
from models.settings import Settings
from workers.devices import Slot
from workers.run import Run

log = logging.getLogger(__name__)


class Scheduler:
    """The slots of this worker, and the runs that hold them."""

    def __init__(self, worker_id: str, slots: list[Slot], database: Database, settings: Settings) -> None:
        self.worker_id = worker_id
        self.slots = slots
        self._database = database
        self._settings = settings
        self._runs: dict[str, Run] = {}
        self._threads: set[threading.Thread] = set()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._schedule, name="scheduler", daemon=True)

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

    def runs(self) -> list[Run]:
        with self._lock:
            return list(self._runs.values())

    def _schedule(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                self._fill_slots()
            except SQLAlchemyError:
                log.exception("no job could be claimed")
            self._wake.wait(self._settings.idle_poll_seconds)

    def _fill_slots(self) -> None:
        for slot in self._free_slots():
            if self._stopping.is_set() or not (claimed := self._claim(slot)):
                return
            self._start(Run(claimed, slot, self._database, self._settings))

    def _start(self, run: Run) -> None:
        log.info("%s: attempt %s on %s", run.claim.job_id, run.claim.attempt, run.slot.device)
        thread = threading.Thread(target=self._run, args=(run,), name=run.claim.job_id, daemon=True)
        with self._lock:
            self._runs[run.claim.job_id] = run
            self._threads.add(thread)
        thread.start()

    def _free_slots(self) -> list[Slot]:
        taken = {run.slot for run in self.runs()}
        return [slot for slot in self.slots if slot not in taken]

    def _claim(self, slot: Slot) -> Claim | None:
        with self._database.write(durable=False) as connection:
            return claim(connection, self.worker_id, slot.device, self._settings.lease_seconds)

    def _run(self, run: Run) -> None:
        try:
            run.run()
        except Exception:
            log.exception("%s: the run ended with an error", run.claim.job_id)
        finally:
            with self._lock:
                del self._runs[run.claim.job_id]
                self._threads.discard(threading.current_thread())
            self._wake.set()
