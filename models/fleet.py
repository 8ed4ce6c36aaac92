"""The workers and what they hold, as read at one moment: who has a slot free, and for what."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, Row, select

from models.database import database_now, literal
from models.outlook import remaining_seconds
from models.questions import Question
from models.states import HELD
from models.tables import Job, Worker

_jobs = Job.__table__.c
_max_seconds = Job.definition["training"]["max_seconds"].as_float()
HELD_JOBS = Question(
    select(
        *(_jobs.id, _jobs.owner, _jobs.worker, _jobs.device, _jobs.wanted_memory, _jobs.claimed_at),
        *(_jobs.step, _jobs.steps, _jobs.seconds_per_step, _max_seconds.label("max_seconds")),
    ).where(_jobs.status.in_(map(literal, sorted(HELD))))
)
WORKERS = Question(select(Worker.__table__, database_now().label("now")).order_by(Worker.id))


@dataclass(frozen=True)
class Place:
    """A slot, and the job that holds it."""

    device: str
    job: Row[Any] | None

    @property
    def free_in(self) -> float | None:
        """Seconds; None while its job has measured no step."""
        job = self.job
        return 0.0 if job is None else remaining_seconds(job.step, job.steps, job.seconds_per_step, job.max_seconds)


@dataclass(frozen=True)
class Crew:
    """A worker with its slots."""

    row: Row[Any]
    alive: bool
    places: list[Place]

    @cached_property
    def has_gpus(self) -> bool:
        return any(place.device != "cpu" for place in self.places)

    @cached_property
    def devices(self) -> list[str]:
        """As many as one job may have at once: GPUs, or slots of the CPU."""
        names = [place.device for place in self.places]
        return sorted({name for name in names if name != "cpu"}) or names

    @cached_property
    def idle(self) -> int:
        """How many of these hold no job."""
        busy = {place.device for place in self.places if place.job is not None}
        if self.has_gpus:
            return len(set(self.devices) - busy)
        return sum(place.job is None for place in self.places)

    @cached_property
    def free_memory(self) -> int:
        """Bytes, of the device with a free slot that has most; 0 without one."""
        free = {place.device for place in self.places if place.job is None}
        return max((self.memory - self._used(device) for device in free), default=0)

    @property
    def memory(self) -> int:
        """Bytes, of a device."""
        return int(self.row.device_memory_bytes or self.row.memory_bytes)

    def _used(self, device: str) -> int:
        return sum(place.job.wanted_memory for place in self.places if place.job and place.device == device)


@dataclass(frozen=True)
class Fleet:
    """All workers of the register."""

    crews: list[Crew] = field(default_factory=list)
    running: int = 0
    """Jobs that hold slots, those of workers that were lost included."""

    @cached_property
    def alive(self) -> list[Crew]:
        return [crew for crew in self.crews if crew.alive]

    def suited(self, device: str) -> list[Crew]:
        """Living workers that take jobs that want this device: a GPU takes any."""
        return [crew for crew in self.alive if device != "cuda" or crew.has_gpus]

    @property
    def slots(self) -> int:
        return sum(len(crew.places) for crew in self.alive)


def read_fleet(connection: Connection, lease_seconds: float) -> Fleet:
    """Workers count as alive that were heard of within a lease."""
    held = HELD_JOBS.all(connection)
    crews = [_crew(row, held, lease_seconds) for row in WORKERS.all(connection)]
    return Fleet(crews, len(held))


def _crew(row: Any, held: Sequence[Any], lease_seconds: float) -> Crew:
    mine = [(device, job) for job in held if job.worker == row.id for device in (job.device or "").split(",")]
    places = []
    for device in row.slots:
        taken = next((pair for pair in mine if pair[0] == device), None)
        if taken is not None:
            mine.remove(taken)
        places.append(Place(device, taken and taken[1]))
    return Crew(row, row.now - row.heartbeat_at <= lease_seconds, places)


def waiting_for(job: Any, fleet: Fleet, disk_full: bool = False) -> str:
    """What a queued job lacks. `job`: its `wanted_device`, `wanted_slots` and `wanted_memory`."""
    suited = fleet.suited(job.wanted_device)
    if not fleet.alive or not suited:
        return "gpu" if fleet.alive else "worker"
    several = job.wanted_slots > 1
    if disk_full:
        return "disk"
    if all(_needs(job, crew) > crew.memory for crew in suited):
        return "memory"
    if several and all(crew.idle < job.wanted_slots for crew in suited):
        return "gpus" if job.wanted_device == "cuda" else "slots"
    free = [crew for crew in suited if any(place.job is None for place in crew.places)]
    # Several GPUs are only given while they hold no job.
    has = [crew.memory if several and crew.has_gpus else crew.free_memory for crew in free]
    short = [_needs(job, crew) > bytes_there for crew, bytes_there in zip(free, has, strict=True)]
    return "memory" if short and all(short) else "slot"


def _needs(job: Any, crew: Crew) -> int:
    """Bytes of a device: processes share that of a CPU."""
    return int(job.wanted_memory * (1 if crew.has_gpus else job.wanted_slots))
