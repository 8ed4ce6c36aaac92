"""Who runs next: a worker takes the best queued job that fits what it offers, by one guarded UPDATE.

Between the owners of jobs the order is fair: first comes the one that holds the fewest slots, and of equals the one
that has used the fewest slot-seconds. Among the jobs of an owner it is by priority and age (`jobs.rank`). A job that
wants more than is free now is passed over for PATIENCE_SECONDS; after that nothing overtakes it any more, and what
becomes free is kept for it. Claims are made one after the other: each knows what the last one took.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Double,
    Table,
    and_,
    bindparam,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningUpdate

from models.database import database_now, larger, lease_clock, lease_now, literal
from models.definitions.job import JobDefinition
from models.history import emit
from models.states import HELD, Status
from models.tables import DeviceDay, Job, Share
from models.tallies import INSERT_SECONDS
from models.trail import NO_TRAIL, Trail
from models.usage import TODAY

PATIENCE_SECONDS = 30.0
LEAD_SECONDS = 60.0
"""Slot-seconds that an owner may be behind the one with most: who was away for a week has no week's claim."""
RECENT = 0.2
"""Weight of an attempt in the mean of how long those of its owner last."""
ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(1146307429)")
"""On PostgreSQL; SQLite has one writer anyway. Two claims at once would each skip the rows that the other looks at, and
so find nothing where one job of each owner is left, overtake one that is waited for, or serve one owner twice. A
statement of its own, for the next one is to see what the last claim has committed."""


@dataclass(frozen=True)
class Claim:
    """A job that a worker holds."""

    job_id: str
    attempt: int
    stored: dict[str, Any]
    """Its definition, as the database has it."""
    claimed_at: float
    """By the database's clock."""
    checkpoint: str | None = None
    """Name of the file from which to go on; None: from the beginning."""
    memory_bytes: int = 0
    """What it is estimated to need of each device."""
    devices: tuple[str, ...] = ("cpu",)
    """One for each process that trains it."""
    queued_at: float = 0.0
    """When it was last put into the queue, by the database's clock."""
    trail: Trail = NO_TRAIL
    """Of the request that made it."""

    @cached_property
    def definition(self) -> JobDefinition:
        """Read late, so that one that this version does not understand holds up no other job.

        Raises:
            ValidationError
        """
        return JobDefinition.model_validate(self.stored)


@dataclass(frozen=True)
class Offer:
    """What a worker has to give at the moment, on one kind of device."""

    device: str
    """With the most free memory among those with a free slot: `cpu`, `cuda:0`, ..."""
    idle: tuple[str, ...]
    """Devices that hold no job, one entry a slot on the CPU: what a job of several may have."""
    slots: int
    """Most devices that one job could ever have here."""
    free_memory: int
    """Bytes, of `device`."""
    memory: int
    """Bytes, of a device that holds no job."""


def _integer(name: str) -> ColumnElement[int]:
    return bindparam(name, type_=BigInteger)


# Statements of the hot paths are made once: SQLAlchemy takes longer to make one than SQLite takes to run it.
_jobs: Table = Job.__table__  # type: ignore[assignment]
_shares: Table = Share.__table__  # type: ignore[assignment]
_days: Table = DeviceDay.__table__  # type: ignore[assignment]
_lease = {
    "lease_until": lease_now() + bindparam("lease_seconds", type_=Double),
    "lease_clock": lease_clock(),
}
_held_by = _jobs.c.worker == bindparam("of_worker"), _jobs.c.status.in_(map(literal, HELD))
RENEW = update(_jobs).where(*_held_by).values(_lease)
HOLDS = select(_jobs.c.id, _jobs.c.attempt, _jobs.c.status, _jobs.c.cancel_mode).where(*_held_by)


def _owners() -> Any:
    """All owners of queued jobs, each found by one step in the index instead of by reading all that wait."""
    least = func.min(_jobs.c.owner)
    owners = select(least.label("owner")).where(_jobs.c.status == literal(Status.QUEUED)).cte("owners", recursive=True)
    following = select(least).where(_jobs.c.status == literal(Status.QUEUED), _jobs.c.owner > owners.c.owner)
    return owners.union_all(select(following.scalar_subquery()).where(owners.c.owner.is_not(None)))


def _fits_now(shares_memory: bool) -> ColumnElement[bool]:
    """Processes of a CPU share its memory with all others there; of several GPUs each has its own, and is idle."""
    wanted, memory = _jobs.c.wanted_slots, _jobs.c.wanted_memory
    if shares_memory:
        return and_(or_(wanted == 1, wanted <= _integer("idle")), wanted * memory <= _integer("free_memory"))
    return or_(
        and_(wanted == 1, memory <= _integer("free_memory")),
        and_(wanted > 1, wanted <= _integer("idle"), memory <= _integer("memory")),
    )


def _fits_once_free(shares_memory: bool) -> ColumnElement[bool]:
    """Jobs that have waited long enough for the others to wait for them."""
    return and_(
        _jobs.c.queued_at < database_now() - PATIENCE_SECONDS,
        _jobs.c.wanted_slots <= _integer("slots"),
        (_jobs.c.wanted_slots if shares_memory else 1) * _jobs.c.wanted_memory <= _integer("memory"),
    )


def _claim_of(*devices: str) -> ReturningUpdate[Any]:
    """Takes the best queued job that wants one of these devices."""
    owners, shares_memory = _owners(), "cuda" not in devices
    best = (
        select(_jobs.c.id)
        .where(
            _jobs.c.status == literal(Status.QUEUED),
            _jobs.c.owner == owners.c.owner,
            _jobs.c.wanted_device.in_(map(literal, devices)),
            or_(_fits_now(shares_memory), _fits_once_free(shares_memory)),
        )
        .order_by(_jobs.c.rank, _jobs.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
        .correlate(owners)
    )
    holds = select(func.coalesce(func.sum(_jobs.c.wanted_slots), 0)).where(
        _jobs.c.owner == owners.c.owner, _jobs.c.status.in_(map(literal, HELD))
    )
    served = select(_shares.c.served).where(_shares.c.owner == owners.c.owner)
    candidates = (
        select(
            best.scalar_subquery().label("id"),
            holds.correlate(owners).scalar_subquery().label("holds"),
            func.coalesce(served.correlate(owners).scalar_subquery(), 0.0).label("served"),
        )
        .where(owners.c.owner.is_not(None))
        .cte("candidates")
        .prefix_with("MATERIALIZED")
    )
    chosen = select(candidates.c.id).where(candidates.c.id.is_not(None))
    chosen = chosen.order_by(candidates.c.holds, candidates.c.served, candidates.c.id).limit(1)
    values = {
        "status": Status.RUNNING,
        "attempt": _jobs.c.attempt + 1,
        "fruitless": _jobs.c.fruitless + 1,
        "recorded": 0,
        "version": _jobs.c.version + 1,
        "worker": bindparam("worker"),
        "device": bindparam("device"),
        "status_reason": None,
        "claimed_at": database_now(),
        "started_at": func.coalesce(_jobs.c.started_at, database_now()),
        **_lease,
    }
    # A job that is waited for is the best without fitting: then nothing is taken.
    is_queued = _jobs.c.status == literal(Status.QUEUED)
    move = update(_jobs).where(_jobs.c.id == chosen.scalar_subquery(), is_queued, _fits_now(shares_memory))
    taken = _jobs.c.id, _jobs.c.attempt, _jobs.c.definition, database_now(), _jobs.c.checkpoint
    wanted, asked = (_jobs.c.wanted_memory, _jobs.c.wanted_slots), (_jobs.c.request_id, _jobs.c.traceparent)
    return move.values(values).returning(*taken, *wanted, _jobs.c.queued_at, *asked)


CLAIMS = {"cpu": _claim_of("auto", "cpu"), "cuda": _claim_of("auto", "cpu", "cuda")}
SET_DEVICE = update(_jobs).where(_jobs.c.id == bindparam("of_job")).values(device=bindparam("devices"))


def claim(connection: Connection, worker: str, offer: Offer, lease_seconds: float) -> Claim | None:
    """Takes the best queued job that fits the offer; None if there is none, or if what is free is kept for one that
    wants more.

    A GPU takes any job; the CPU takes none that asks for CUDA.
    """
    wanted = {"worker": worker, "device": offer.device, "lease_seconds": lease_seconds, "idle": len(offer.idle)}
    wanted |= {"slots": offer.slots, "free_memory": offer.free_memory, "memory": offer.memory}
    kind = "cpu" if offer.device == "cpu" else "cuda"
    if connection.dialect.name == "postgresql":
        connection.execute(ONE_AT_A_TIME)
    row = connection.execute(CLAIMS[kind], wanted).one_or_none()
    if row is None:
        return None
    job_id, attempt, definition, now, checkpoint, memory, slots, queued_at, *asked = row
    devices = (offer.device,) if slots == 1 else offer.idle[:slots]
    if slots > 1:
        connection.execute(SET_DEVICE, {"of_job": job_id, "devices": ",".join(devices)})
    emit(connection, job_id, "job.started", attempt, worker=worker, device=",".join(devices))
    return Claim(job_id, attempt, definition, now, checkpoint, memory, devices, queued_at, Trail(*asked))


def renew(connection: Connection, worker: str, lease_seconds: float) -> None:
    """The heartbeat: lengthens the lease of every job the worker holds."""
    connection.execute(RENEW, {"of_worker": worker, "lease_seconds": lease_seconds})


@dataclass(frozen=True)
class Held:
    """What the database says of a job that a worker holds."""

    attempt: int
    status: str
    cancel_mode: str | None


def held(connection: Connection, worker: str) -> dict[str, Held]:
    """The jobs a worker holds, by id."""
    rows = connection.execute(HOLDS, {"of_worker": worker})
    return {row.id: Held(row.attempt, row.status, row.cancel_mode) for row in rows}


def _charge(insert: Callable[[Table], Any]) -> Any:
    floor = larger(func.coalesce(select(func.max(_shares.c.served)).scalar_subquery(), 0.0) - LEAD_SECONDS, 0.0)
    seconds = larger(database_now() - func.coalesce(_jobs.c.claimed_at, database_now()), 0.0)
    used = floor + _jobs.c.wanted_slots * seconds
    of_job = select(_jobs.c.owner, used, seconds).where(_jobs.c.id == bindparam("of_job"))
    statement = insert(_shares).from_select(["owner", "served", "attempt_seconds"], of_job)
    mine, charged = _shares.c, statement.excluded
    mean = mine.attempt_seconds + RECENT * (charged.attempt_seconds - mine.attempt_seconds)
    more = {"served": charged.served + larger(mine.served - floor, 0.0), "attempt_seconds": mean}
    return statement.on_conflict_do_update(index_elements=["owner"], set_=more)


def _charge_day(insert: Callable[[Table], Any]) -> Any:
    seconds = larger(database_now() - func.coalesce(_jobs.c.claimed_at, database_now()), 0.0) * _jobs.c.wanted_slots
    of_job = select(_jobs.c.owner, TODAY, seconds).where(_jobs.c.id == bindparam("of_job"))
    statement = insert(_days).from_select(["owner", "day", "seconds"], of_job)
    more = {"seconds": _days.c.seconds + statement.excluded.seconds}
    return statement.on_conflict_do_update(index_elements=["owner", "day"], set_=more)


INSERTS: dict[str, Callable[[Table], Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
CHARGES = {name: (_charge(insert), _charge_day(insert), INSERT_SECONDS) for name, insert in INSERTS.items()}


def charge(connection: Connection, job_id: str) -> None:
    """Counts the slot-seconds of the attempt that has just let go of a job, in the same transaction."""
    for charges in CHARGES[connection.dialect.name]:
        connection.execute(charges, {"of_job": job_id})
