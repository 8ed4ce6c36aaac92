"""The moves of a job. Each is one UPDATE whose WHERE clause guards it: no row moved means 'not yours any more'."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    CursorResult,
    Double,
    Integer,
    Table,
    Text,
    Update,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from models.database import database_now
from models.definitions.job import JobDefinition
from models.errors import IllegalMove, NotFound, QueueFull
from models.ids import new_id
from models.states import HELD, TERMINAL, Status, Verdict, sources
from models.tables import QUEUED, Event, Job, Layer, Statistics, epochs, layer_summaries


class LeaseLost(Exception):
    """The job is not this attempt's any more: stop at once, and write nothing."""


@dataclass(frozen=True)
class Claim:
    """A job that a worker holds."""

    job_id: str
    attempt: int
    definition: JobDefinition
    claimed_at: float
    """By the database's clock."""


def _literal(value: str) -> ColumnElement[str]:
    """One of our own words in a statement that is made once; a list of parameters would be written out each time."""
    return literal_column(f"'{value}'", Text)


# Statements of the hot paths are made once: SQLAlchemy takes longer to make one than SQLite takes to run it.
_jobs: Table = Job.__table__  # type: ignore[assignment]
_lease_until = database_now() + bindparam("lease_seconds", type_=Double)
_held_by = _jobs.c.worker == bindparam("of_worker"), _jobs.c.status.in_(map(_literal, HELD))
_queued = select(_jobs.c.id).where(_jobs.c.owner == bindparam("owner"), _jobs.c.status == bindparam("status"))
COUNT_QUEUED = select(func.count(), database_now()).select_from(
    _queued.limit(bindparam("most_queued", type_=Integer)).subquery()
)
INSERT_JOB = insert(_jobs)
INSERT_QUEUED = insert(Event.__table__)  # type: ignore[arg-type]
INSERT_EVENT = insert(Event.__table__).values(at=database_now())  # type: ignore[arg-type]
RENEW = update(_jobs).where(*_held_by).values(lease_until=_lease_until)
HOLDS = select(_jobs.c.id, _jobs.c.attempt, _jobs.c.cancel_mode).where(*_held_by)


def _claim_of(*devices: str) -> ReturningUpdate[Any]:
    """Takes the best queued job that wants one of these devices."""
    best = (
        select(_jobs.c.id)
        .where(_jobs.c.status == Status.QUEUED, _jobs.c.wanted_device.in_(map(_literal, devices)))
        .order_by(_jobs.c.priority.desc(), _jobs.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    values = {
        "status": Status.RUNNING,
        "attempt": _jobs.c.attempt + 1,
        "fruitless": _jobs.c.fruitless + 1,
        "version": _jobs.c.version + 1,
        "worker": bindparam("worker"),
        "device": bindparam("device"),
        "status_reason": None,
        "lease_until": _lease_until,
        "started_at": func.coalesce(_jobs.c.started_at, database_now()),
    }
    move = update(_jobs).where(_jobs.c.id == best.scalar_subquery(), _jobs.c.status == Status.QUEUED)
    return move.values(values).returning(_jobs.c.id, _jobs.c.attempt, _jobs.c.definition, database_now())


CLAIMS = {"cpu": _claim_of("auto", "cpu"), "cuda": _claim_of("auto", "cpu", "cuda")}


def submit(connection: Connection, definition: JobDefinition, owner: str, most_queued: int) -> str:
    """Queues a new job and gives its id.

    Raises:
        QueueFull: the owner has `most_queued` jobs waiting.
    """
    [answer] = submit_all(connection, [(definition, owner)], most_queued)
    if isinstance(answer, QueueFull):
        raise answer
    return str(answer["id"])


def submit_all(
    connection: Connection, submissions: Sequence[tuple[JobDefinition, str]], most_queued: int
) -> list[dict[str, Any] | QueueFull]:
    """Queues new jobs, each for its owner; gives for each the values of its row, or the refusal."""
    limit = {"status": Status.QUEUED, "most_queued": most_queued}
    room: dict[str, int] = {}
    now = 0.0
    for owner in {owner for _, owner in submissions}:
        waiting, now = connection.execute(COUNT_QUEUED, limit | {"owner": owner}).one()
        room[owner] = most_queued - waiting
    answers: list[dict[str, Any] | QueueFull] = []
    rows = []
    # As many digits as SQLite writes into the JSON of a history: both times of a job are to be the same.
    now = round(now, 5)
    for definition, owner in submissions:
        if not room[owner]:
            answers.append(
                QueueFull(f"{most_queued} of your jobs are waiting, the most allowed (DESCENT_QUEUED_JOBS).")
            )
            continue
        room[owner] -= 1
        rows.append(_new_row(definition, owner) | {"created_at": now})
        answers.append(rows[-1])
    if rows:
        connection.execute(INSERT_JOB, rows)
        connection.execute(INSERT_QUEUED, [_event(row["id"], QUEUED, 0, {}) | {"at": now} for row in rows])
    return answers


def _new_row(definition: JobDefinition, owner: str) -> dict[str, Any]:
    return {
        "id": new_id("job"),
        "owner": owner,
        "name": definition.name,
        "tags": list(definition.tags),
        "priority": definition.priority,
        "definition": definition.plain(),
        "family": definition.network.family,
        "dataset": definition.data.dataset,
        "wanted_device": definition.resources.device,
        "epochs": definition.training.restarts * (definition.training.epochs or 0),
        "status": Status.QUEUED,
        "verdict": Verdict.UNKNOWN,
    }


def claim(connection: Connection, worker: str, device: str, lease_seconds: float) -> Claim | None:
    """Takes the best queued job that fits a slot on `device`, or None if there is none.

    A GPU's slot takes any job; one on the CPU takes none that asks for CUDA.
    """
    taken = {"worker": worker, "device": device, "lease_seconds": lease_seconds}
    row = connection.execute(CLAIMS["cpu" if device == "cpu" else "cuda"], taken).one_or_none()
    if row is None:
        return None
    emit(connection, row[0], "job.started", row[1], worker=worker, device=device)
    return Claim(row[0], row[1], JobDefinition.model_validate(row[2]), row[3])


def renew(connection: Connection, worker: str, lease_seconds: float) -> None:
    """The heartbeat: lengthens the lease of every job the worker holds."""
    connection.execute(RENEW, {"of_worker": worker, "lease_seconds": lease_seconds})


def held(connection: Connection, worker: str) -> dict[str, tuple[int, str | None]]:
    """The jobs a worker holds: id -> (attempt, cancel mode)."""
    return {row.id: (row.attempt, row.cancel_mode) for row in connection.execute(HOLDS, {"of_worker": worker})}


def fenced(job_id: str, attempt: int) -> tuple[ColumnElement[bool], ...]:
    """The fence: true while the attempt holds the job."""
    return Job.id == job_id, Job.attempt == attempt, Job.status.in_(HELD)


def finish(
    connection: Connection,
    job_id: str,
    attempt: int,
    outcome: Status,
    error: dict[str, Any] | None = None,
    **values: Any,
) -> None:
    """Ends a job. Repeating it (the reply to a commit was lost) is harmless.

    Raises:
        LeaseLost: the attempt does not hold the job.
    """
    move = (
        update(Job)
        .where(*fenced(job_id, attempt), Job.status.in_(sources(outcome)))
        .values(status=outcome, error=error, **values, **_released(), finished_at=database_now())
    )
    if _moved(connection, move):
        emit(connection, job_id, f"job.{outcome}", attempt, **({"error": error} if error else {}))
    elif not _ended_as(connection, job_id, attempt, outcome):
        raise LeaseLost(job_id)


def cancel(connection: Connection, job_id: str, owner: str, mode: str) -> None:
    """Cancels a waiting job at once, and asks the worker of a running one to stop. Repeating it is harmless.

    Raises:
        NotFound: there is no such job of this owner.
        IllegalMove: it has already ended otherwise.
    """
    mine = Job.id == job_id, Job.owner == owner
    at_once = update(Job).where(*mine, Job.status == Status.QUEUED)
    if _moved(connection, at_once.values(status=Status.CANCELLED, **_released(), finished_at=database_now())):
        return emit(connection, job_id, "job.cancelled", _attempt(connection, job_id))
    ask = update(Job).where(*mine, Job.status == Status.RUNNING)
    if _moved(connection, ask.values(status=Status.CANCELLING, cancel_mode=mode, version=Job.version + 1)):
        return emit(connection, job_id, "job.cancelling", _attempt(connection, job_id), mode=mode)
    status = connection.scalar(select(Job.status).where(*mine))
    if status is None:
        raise NotFound(f"There is no job {job_id}.")
    if status == Status.CANCELLING and mode == "force":
        connection.execute(update(Job).where(*mine).values(cancel_mode=mode))
    elif status in TERMINAL - {Status.CANCELLED}:
        raise IllegalMove(f"The job has {status}; a job that has ended stays as it is.")
    return None


def give_back(
    connection: Connection, job_id: str, attempt: int, reason: str, max_attempts: int, counts: bool = True
) -> Status:
    """Lets go of a job whose attempt did not come to its end, and says where that left it.

    It waits again, or is failed after `max_attempts` fruitless attempts, or is cancelled if that was asked.
    `counts=False` is a graceful hand-over, which is no fruitless attempt.

    Raises:
        LeaseLost: the attempt does not hold the job.
    """
    row = connection.execute(select(Job.status, Job.fruitless).where(*fenced(job_id, attempt))).one_or_none()
    if row is None:
        raise LeaseLost(job_id)
    if row.status == Status.CANCELLING:
        finish(connection, job_id, attempt, Status.CANCELLED, status_reason=reason)
        return Status.CANCELLED
    if counts and row.fruitless >= max_attempts:
        finish(connection, job_id, attempt, Status.FAILED, error=_worker_lost(reason, row.fruitless))
        return Status.FAILED
    _requeue(connection, job_id, attempt, reason, row.fruitless - (0 if counts else 1))
    return Status.QUEUED


def sweep(connection: Connection, max_attempts: int) -> list[Status]:
    """Gives back every job whose lease ran out; two sweepers at once are harmless."""
    query = select(Job.id, Job.attempt).where(Job.status.in_(HELD), Job.lease_until < database_now())
    lost = connection.execute(query.with_for_update(skip_locked=True)).all()
    return [give_back(connection, row.id, row.attempt, "its worker was lost", max_attempts) for row in lost]


def _requeue(connection: Connection, job_id: str, attempt: int, reason: str, fruitless: int) -> None:
    # The next attempt begins again from the first step, and so do its rows.
    start = {"epoch": 0, "step": 0, "metrics": None, "best": None, "first_step_at": None}
    values = {"status": Status.QUEUED, "status_reason": reason, "fruitless": fruitless, **start, **_released()}
    if not _moved(connection, update(Job).where(*fenced(job_id, attempt)).values(values)):
        raise LeaseLost(job_id)
    for table in (epochs, layer_summaries, Layer.__table__, Statistics.__table__):
        connection.execute(delete(table).where(table.c.job_id == job_id))  # type: ignore[arg-type]
    emit(connection, job_id, "job.requeued", attempt, reason=reason)


def _released() -> dict[str, Any]:
    return {"version": Job.version + 1, "lease_until": None}


def _worker_lost(reason: str, attempts: int) -> dict[str, Any]:
    detail = f"{attempts} attempts in a row ended without progress; of the last one: {reason}."
    return error("worker_lost", "The job's worker was lost too often", detail, "infrastructure", retryable=True)


def error(code: str, title: str, detail: str, kind: str, retryable: bool) -> dict[str, Any]:
    """A `job.error`: the shape of a problem, with its class (`user data memory numeric infrastructure`)."""
    return {"code": code, "title": title, "detail": detail, "class": kind, "retryable": retryable}


def _ended_as(connection: Connection, job_id: str, attempt: int, outcome: Status) -> bool:
    row = connection.execute(select(Job.attempt, Job.status).where(Job.id == job_id)).one_or_none()
    return row is not None and tuple(row) == (attempt, outcome)


def _attempt(connection: Connection, job_id: str) -> int:
    return connection.execute(select(Job.attempt).where(Job.id == job_id)).scalar_one()


def _moved(connection: Connection, move: Update) -> bool:
    result: CursorResult[Any] = connection.execute(move)
    return result.rowcount == 1


def emit(connection: Connection, job_id: str, kind: str, attempt: int, **data: Any) -> None:
    """Adds to the job's history."""
    connection.execute(INSERT_EVENT, _event(job_id, kind, attempt, data))


def _event(job_id: str, kind: str, attempt: int, data: dict[str, Any]) -> dict[str, Any]:
    return {"job_id": job_id, "type": kind, "attempt": attempt, "data": data}
