"""Claims jobs until the slots are full: at the doorbell, when a slot becomes free, and every few seconds anyway.

A spare runner waits for each free slot before a job is claimed; its successor is forked while the job begins.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from models.claims import Claim, Offer, claim
from models.database import Database
from models.disk import is_full
from models.logs import about
from models.settings import Settings
from workers.devices import Slot, memory_of
from workers.places import Places
from workers.run import Run
from workers.spares import Spares

if TYPE_CHECKING:
    from models.spans import Tracing

log = logging.getLogger(__name__)

CLAIM_SECONDS = 3.0
LEAVE_SECONDS = 15.0
"""From TERM to the last run's end, of the 20 that a supervisor of services grants."""


class Scheduler:
    """The slots of this worker, and the runs that hold them."""

    def __init__(
        self,
        worker_id: str,
        slots: list[Slot],
        database: Database,
        settings: Settings,
        ring_others: Callable[[], None] = lambda: None,
        ring_lanes: Callable[[], None] = lambda: None,
        tracing: "Tracing | None" = None,
    ) -> None:
        """`ring_others` is called when jobs may be left that this worker has no slot for, `ring_lanes` when a job has
        ended, and may have left a task."""
        self.worker_id = worker_id
        self._ring_others = ring_others
        self._ring_lanes = ring_lanes
        self.slots = slots
        self.memory = memory_of(slot.device for slot in slots)
        self._database = database
        self._settings = settings
        self._tracing = tracing
        # A GPU's job needs a process that knows nothing of CUDA yet.
        rehearse = all(slot.device == "cpu" for slot in slots)
        self.spares = Spares(len(slots), rehearse, settings)
        self._places = Places(slots, self.memory)
        self._runs: dict[Run, threading.Thread] = {}
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
        """Claims nothing more, has all jobs write a checkpoint, gives them back, and returns when they are gone."""
        ends_at = time.monotonic() + LEAVE_SECONDS
        self._stopping.set()
        self._wake.set()
        # It may hang in a claim, where the database is frozen.
        self._thread.join(CLAIM_SECONDS)
        for run in self.runs():
            run.leave()
        with self._lock:
            threads = list(self._runs.values())
        for thread in threads:
            thread.join(max(0.0, ends_at - time.monotonic()))
        # The database is away, and so is the time: leases run out by themselves.
        for run in self.runs():
            run.abandon()
        self.spares.close()

    def runs(self) -> list[Run]:
        with self._lock:
            return list(self._runs)

    def _schedule(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                self._fill_slots()
                self.spares.fill()
            except SQLAlchemyError as problem:
                log.warning("no job could be claimed: %s", problem)
            except Exception:  # whatever it was, this thread has slots to fill
                log.exception("no job could be claimed, or no runner forked")
            self._wake.wait(self._settings.idle_poll_seconds)

    def _fill_slots(self) -> None:
        self.spares.fill()
        if is_full(self._settings):
            log.error("the disk is nearly full (DESCENT_FREE_DISK_BYTES); no job is begun")
            return
        claimed = None
        while (offer := self._offer()) and not self._stopping.is_set() and (claimed := self._claim(offer)):
            self._start(Run(claimed, self.spares.take(), self._database, self._settings, self._tracing))
        if claimed and not offer:
            self._ring_others()

    def _offer(self) -> Offer | None:
        with self._lock:
            return self._places.offer()

    def _claim(self, offer: Offer) -> Claim | None:
        with self._database.write(durable=False) as connection:
            return claim(connection, self.worker_id, offer, self._settings.lease_seconds)

    def _start(self, run: Run) -> None:
        held = run.claim
        thread = threading.Thread(target=self._follow, args=(run,), name=held.job_id, daemon=True)
        with self._lock:
            # First, for it may fail: then nothing here holds the job, and the keeper gives it back.
            thread.start()
            self._places.take(held)
            self._runs[run] = thread

    def _follow(self, run: Run) -> None:
        held = run.claim
        with about(held.trail, job_id=held.job_id, attempt=held.attempt):
            log.info("%s: attempt %s on %s, process %s", held.job_id, held.attempt, ",".join(held.devices), run.pid)
            self._run(run)

    def _run(self, run: Run) -> None:
        try:
            if run.run():
                self._free(run)
            self._ring_lanes()
        except Exception:
            log.exception("%s: the run ended with an error", run.claim.job_id)
        finally:
            run.close()
            self._free(run)
            with self._lock:
                del self._runs[run]

    def _free(self, run: Run) -> None:
        """The run's slots may have their next job, unless they have it already."""
        with self._lock:
            freed = self._places.free(run.claim)
        if freed:
            self._wake.set()
