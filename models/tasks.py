"""Work with the model of a job that has ended: exports, evaluations, predictions for a whole file.

The database holds the queue, as it does for jobs: a worker claims a task under a lease, renews that, and every write is
fenced by the attempt. One whose worker is lost is claimed again; after MOST_ATTEMPTS it has failed.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from models.database import database_now, lease_clock, lease_now
from models.errors import NotFound, QueueFull
from models.ids import new_id
from models.lifecycle import LeaseLost, error
from models.owners import seen
from models.tables import OPEN, Job, Task

MOST_ATTEMPTS = 5
PAUSE_SECONDS = 2.0
"""After the first attempt that was lost; each pause is twice the one before."""
MOST_OPEN = 100
"""Tasks of a job that may wait or run at once."""


class Kind(StrEnum):
    """What is done."""

    EXPORT = "export"
    """The files of a job are made of the checkpoint of its best epoch."""
    EVALUATION = "evaluation"
    PREDICTION = "prediction"
    """For all rows of a file."""


PREFIX = {Kind.EXPORT: "exp", Kind.EVALUATION: "evl", Kind.PREDICTION: "prd"}
"""Of ids."""


@dataclass(frozen=True)
class TaskClaim:
    """A task that a worker holds."""

    id: str
    job_id: str
    kind: Kind
    attempt: int
    request: dict[str, Any]


def create(connection: Connection, job_id: str, kind: Kind, request: dict[str, Any]) -> str:
    """Queues a task and gives its id.

    Raises:
        QueueFull: MOST_OPEN tasks of the job wait already.
        NotFound: the job was deleted.
    """
    waiting = select(Task.id).where(Task.job_id == job_id, OPEN).limit(MOST_OPEN)
    if len(connection.execute(waiting).all()) == MOST_OPEN:
        raise QueueFull(f"{MOST_OPEN} tasks of this job wait or run, the most allowed.")
    return _insert(connection, job_id, kind, status="queued", request=request)


def keep_result(connection: Connection, job_id: str, kind: Kind, request: dict[str, Any], result: Any) -> str:
    """One that was done where it came up."""
    times = {"started_at": database_now(), "finished_at": database_now()}
    return _insert(connection, job_id, kind, status="succeeded", request=request, result=result, **times)


def _insert(connection: Connection, job_id: str, kind: Kind, **values: Any) -> str:
    task_id = new_id(PREFIX[kind])
    given = {"id": task_id, "job_id": job_id, "kind": kind, "attempt": 0, "created_at": database_now()}
    try:
        connection.execute(insert(Task).values(given | values))
    except IntegrityError:
        raise NotFound(f"There is no job {job_id}.") from None
    return task_id


# Reading


def tasks_of(
    connection: Connection, job_id: str, owner: str, kind: Kind, before: str | None, limit: int
) -> list[Row[Any]]:
    """The tasks of a job, newest first."""
    query = select(Task.__table__).join(Job, Job.id == Task.job_id)
    query = query.where(Task.job_id == job_id, seen(Job.owner, owner), Task.kind == kind)
    if before is not None:
        query = query.where(Task.id < before)
    return list(connection.execute(query.order_by(Task.id.desc()).limit(limit)))


def find(connection: Connection, job_id: str, owner: str, kind: Kind, task_id: str) -> Row[Any]:
    """One task.

    Raises:
        NotFound
    """
    query = select(Task.__table__).join(Job, Job.id == Task.job_id)
    query = query.where(Task.id == task_id, Task.job_id == job_id, Task.kind == kind, seen(Job.owner, owner))
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound(f"There is no {kind} {task_id} of this job.")
    return row


# What workers do

_kinds = Task.kind.in_(bindparam("kinds", expanding=True))
_is_free = or_(Task.lease_until.is_(None), Task.lease_until < lease_now(), Task.lease_clock != lease_clock())
NEXT = select(Task.id).where(_kinds, OPEN, _is_free).order_by(Task.id).limit(1)
"""A question of its own too, so that nobody who finds no work has to write."""
_lease = {"lease_until": lease_now() + bindparam("lease_seconds"), "lease_clock": lease_clock()}
CLAIM = (
    update(Task)
    .where(Task.id == NEXT.with_for_update(skip_locked=True).scalar_subquery())
    .values(_lease)
    .values(status="running", attempt=Task.attempt + 1, worker=bindparam("by"), started_at=database_now())
    .returning(Task.id, Task.job_id, Task.kind, Task.attempt, Task.request)
)


def is_work(connection: Connection, kinds: tuple[Kind, ...]) -> bool:
    """Whether a task of these kinds waits, or is left by a worker that was lost."""
    return connection.execute(NEXT, {"kinds": list(kinds)}).first() is not None


def claim(connection: Connection, worker: str, kinds: tuple[Kind, ...], lease_seconds: float) -> TaskClaim | None:
    """Takes the oldest task of these kinds; None where there is none."""
    given = {"by": worker, "kinds": list(kinds), "lease_seconds": lease_seconds}
    row = connection.execute(CLAIM, given).one_or_none()
    return None if row is None else TaskClaim(row.id, row.job_id, Kind(row.kind), row.attempt, row.request)


def renew(connection: Connection, task: TaskClaim, lease_seconds: float) -> None:
    """The worker lives.

    Raises:
        LeaseLost: the task is another's by now, or its job is deleted.
    """
    _write(connection, task, {"lease_until": lease_now() + lease_seconds, "lease_clock": lease_clock()})


def succeed(connection: Connection, task: TaskClaim, result: dict[str, Any]) -> None:
    """
    Raises:
        LeaseLost
    """
    _write(connection, task, _ended("succeeded", result=result))


def fail(connection: Connection, task: TaskClaim, problem: dict[str, Any]) -> None:
    """
    Raises:
        LeaseLost
    """
    _write(connection, task, _ended("failed", error=problem))


def give_back(connection: Connection, task: TaskClaim, reason: str, counts: bool = True) -> bool:
    """Lets go of a task that did not come to its end; false where that was its last attempt, and it has failed.

    Raises:
        LeaseLost
    """
    if counts and task.attempt >= MOST_ATTEMPTS:
        detail = f"{task.attempt} attempts ended before their end; of the last one: {reason}."
        fail(connection, task, error("worker_lost", "Its process was lost too often", detail, "infrastructure", True))
        return False
    pause = {"lease_until": lease_now() + PAUSE_SECONDS * 2**task.attempt, "lease_clock": lease_clock()}
    again = pause if counts else {"attempt": Task.attempt - 1}
    _write(connection, task, {"status": "queued", **NOWHERE} | again)
    return True


def release(connection: Connection, dead: list[str]) -> bool:
    """Gives back what workers hold that are known to be gone; whether that was anything."""
    held = Task.worker.in_(dead), Task.status == "running"
    return bool(dead) and connection.execute(update(Task).where(*held).values(status="queued", **NOWHERE)).rowcount > 0


def forget(connection: Connection, task_id: str) -> None:
    connection.execute(delete(Task).where(Task.id == task_id))


NOWHERE: dict[str, Any] = {"worker": None, "lease_until": None}


def _ended(status: str, **values: Any) -> dict[str, Any]:
    return {"status": status, "finished_at": database_now(), **NOWHERE, **values}


def _write(connection: Connection, task: TaskClaim, values: dict[str, Any]) -> None:
    fence = Task.id == task.id, Task.attempt == task.attempt, Task.status == "running"
    if connection.execute(update(Task).where(*fence).values(values)).rowcount == 0:
        raise LeaseLost(task.id)
