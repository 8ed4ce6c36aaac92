"""Keeps what this worker holds: renews leases, passes on what clients ask, stops what was lost or hangs, sweeps up
after the dead."""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from sqlalchemy.exc import SQLAlchemyError

from models import claims, delivery_log, idempotency, lifecycle, tallies, tasks, workers
from models.database import Database
from models.settings import Settings
from models.states import Status
from models.workers import Registration
from workers.scheduler import Scheduler

log = logging.getLogger(__name__)

FLAG_SECONDS = 0.5
"""How often cancels and pauses are looked for."""
BEATS_PER_LEASE = 6
GIVE_UP_SHARE = 0.7
"""Share of the lease without a heartbeat after which the jobs are dropped: another worker may have them soon."""
GUARD_SECONDS = 0.25
STOP_SECONDS = 3.0
"""To wait for a thread that may hang in a database that is frozen."""


class Keeper:
    """Two threads beside the scheduler's. The guard never asks the database: one that is frozen stops the other."""

    def __init__(
        self,
        scheduler: Scheduler,
        registration: Registration,
        database: Database,
        settings: Settings,
        ring_lanes: Callable[[], None] = lambda: None,
    ) -> None:
        """`ring_lanes` is called when tasks of a worker that died wait for another."""
        self._ring_lanes = ring_lanes
        self._scheduler = scheduler
        self._registration = registration
        self._database = database
        self._settings = settings
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._keep, name="keeper", daemon=True),
            threading.Thread(target=self._guard, name="guard", daemon=True),
        ]
        self._last_beat = time.monotonic()
        self._last_sweep = 0.0
        self._astray: set[tuple[str, int]] = set()
        """Jobs and attempts that this worker held without running them, when it last looked."""

    def start(self) -> None:
        """Makes the worker known; as soon as the database is there, if it is not yet."""
        self._attempt(self._beat)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(STOP_SECONDS)
        if not any(thread.is_alive() for thread in self._threads):
            self._attempt(self._take_leave)

    def _keep(self) -> None:
        settings = self._settings
        while not self._stopping.wait(min(FLAG_SECONDS, settings.lease_seconds / BEATS_PER_LEASE)):
            now = time.monotonic()
            self._attempt(self._pass_on)
            if now - self._last_beat >= settings.lease_seconds / BEATS_PER_LEASE:
                self._attempt(self._beat)
            if now - self._last_sweep >= settings.sweep_seconds:
                self._last_sweep = now
                self._attempt(self._sweep)

    def _attempt(self, action: Callable[[], None]) -> None:
        try:
            action()
        except SQLAlchemyError as problem:
            log.warning("the database is away: %s", problem)
        except Exception:  # whatever it was, this thread has leases to keep
            log.exception("unexpected")

    def _pass_on(self) -> None:
        """Stops runs whose job was cancelled, or is not this attempt's any more."""
        runs = self._scheduler.runs()
        if not runs:
            return
        with self._database.read() as connection:
            found = claims.held(connection, self._scheduler.worker_id)
        for run in runs:
            held = found.get(run.claim.job_id)
            if held is None or held.attempt != run.claim.attempt:
                run.abandon()
            elif held.status == Status.CANCELLING:
                run.cancel(held.cancel_mode or "graceful")
            elif held.status == Status.PAUSING:
                run.pause()

    def _guard(self) -> None:
        while not self._stopping.wait(GUARD_SECONDS):
            if time.monotonic() - self._last_beat > self._settings.lease_seconds * GIVE_UP_SHARE:
                self._attempt(self._abandon_all)
            self._attempt(self._stop_the_hanging)

    def _stop_the_hanging(self) -> None:
        for run in self._scheduler.runs():
            if run.silent_seconds > self._settings.stall_seconds:
                log.error("%s: nothing heard for %.0f s; killed", run.claim.job_id, run.silent_seconds)
                run.stall()

    def _beat(self) -> None:
        with self._database.write(durable=False) as connection:
            claims.renew(connection, self._scheduler.worker_id, self._settings.lease_seconds)
            workers.beat(connection, self._registration)
        self._last_beat = time.monotonic()

    def _take_leave(self) -> None:
        with self._database.write() as connection:
            workers.unregister(connection, self._registration.id)

    def _abandon_all(self) -> None:
        for run in self._scheduler.runs():
            log.error("%s: no heartbeat for most of its lease; dropped", run.claim.job_id)
            run.abandon()

    def _sweep(self) -> None:
        with self._database.write() as connection:
            dead = workers.bury(connection)
            swept = lifecycle.sweep(connection, self._settings.max_attempts, dead)
            is_released = tasks.release(connection, dead)
            idempotency.sweep(connection)
            delivery_log.sweep(connection, self._settings.delivery_retention_seconds)
            tallies.fold(connection)
        if Status.QUEUED in swept:
            self._scheduler.ring()
        if is_released:
            self._ring_lanes()
        self._give_back_astray()

    def _give_back_astray(self) -> None:
        """Jobs whose run ended with an error of ours would be held for ever, for the worker lives."""
        with self._database.read() as connection:
            held = claims.held(connection, self._scheduler.worker_id)
        running = {(run.claim.job_id, run.claim.attempt) for run in self._scheduler.runs()}
        astray = {(job_id, one.attempt) for job_id, one in held.items()} - running
        attempts = self._settings.max_attempts
        for job_id, attempt in astray & self._astray:
            with self._database.write() as connection, suppress(lifecycle.LeaseLost):
                lifecycle.give_back(connection, job_id, attempt, "its worker lost track of it", attempts)
        self._astray = astray
