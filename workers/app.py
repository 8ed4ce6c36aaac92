"""The Celery app of a worker: one task that wakes the scheduler, and the scheduler as a step of the worker's own life.

A worker bootstep, not a consumer's: those never start while the broker is away, and jobs must run without it.
"""

import logging
from typing import TYPE_CHECKING, Any

from celery import Celery, bootsteps, signals

from models.database import Database
from models.doorbell import Doorbell
from models.ids import new_id
from models.queue import DOORBELL
from models.settings import Settings
from models.workers import Registration
from workers.celery_app import create_celery
from workers.collector import Collector
from workers.devices import has_bfloat16, resident_bytes, slots
from workers.keeper import Keeper
from workers.lane import LANES, Lane
from workers.leaving import Leaving
from workers.scheduler import Scheduler

if TYPE_CHECKING:
    from models.spans import Tracing

log = logging.getLogger(__name__)


def create_worker(settings: Settings, tracing: "Tracing | None" = None) -> Celery:
    """A Celery app whose worker runs the jobs of `settings.database`."""
    app = create_celery(settings)
    database = Database(settings.database)
    places = slots(settings)
    settings = settings.model_copy(update={"resident_bytes": resident_bytes(settings, len(places))})
    worker_id = new_id("wrk")
    lanes = [Lane(worker_id, kinds, database, settings, tracing) for kinds in LANES]

    def ring_lanes() -> None:
        for lane in lanes:
            lane.ring()

    scheduler = Scheduler(worker_id, places, database, settings, Doorbell(settings).ring, ring_lanes, tracing)
    devices = [slot.device for slot in places]
    registration = Registration(
        scheduler.worker_id, tuple(devices), min(scheduler.memory.values()), has_bfloat16(devices)
    )
    keeper = Keeper(scheduler, registration, database, settings, ring_lanes)
    collector = Collector(database, settings)

    leave_lanes, stop_lanes = [lane.leave for lane in lanes], [lane.stop for lane in lanes]
    leaving = Leaving([*leave_lanes, scheduler.stop, keeper.stop, collector.stop, *stop_lanes])
    # At the signal itself, for Celery first says goodbye to its broker, which may be frozen.
    signals.worker_shutting_down.connect(leaving.begin, weak=False)

    class SchedulerStep(bootsteps.StartStopStep):  # type: ignore[misc]
        """Starts with the worker, known to others when it is warm; its stop drains."""

        def start(self, worker: Any) -> None:
            scheduler.warm()
            keeper.start()
            scheduler.start()
            collector.start()
            for lane in lanes:
                lane.start()
            log.info("%s is ready, with %s slot(s)", scheduler.worker_id, len(scheduler.slots))

        def stop(self, worker: Any) -> None:
            leaving.begin()
            leaving.wait()
            database.close()

    @app.task(name=DOORBELL)  # type: ignore[untyped-decorator]
    def doorbell() -> None:
        scheduler.ring()
        ring_lanes()

    app.steps["worker"].add(SchedulerStep)
    return app
