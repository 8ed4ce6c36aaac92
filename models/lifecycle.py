"""The moves of a job after it was submitted (`models/submission.py`) and claimed (`models/claims.py`).

Each is one UPDATE whose WHERE clause guards it: no row moved means 'not yours any more', or 'not from this state'.
"""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, CursorResult, Table, Update, bindparam, delete, or_, select, update

from models.claims import charge
from models.cures import settle, touch
from models.database import database_now, lease_clock, lease_now
from models.errors import IllegalMove, NotFound, OtherVersion
from models.history import emit
from models.owners import seen
from models.questions import Question
from models.states import HELD, TERMINAL, Status, sources
from models.submission import AGEING_SECONDS, REPAIR
from models.tables import OF_REPAIRS, Job
from models.tallies import count_end, count_given_back

_jobs: Table = Job.__table__  # type: ignore[assignment]
MEMORY_TRIES = 2
"""Attempts that may run out of memory: another job may have taken it the first time, hardly the second."""
CANCELLED = "a client cancelled it"
REPAIR_OF = Question(select(_jobs.c.parent).where(_jobs.c.id == bindparam("job_id"), OF_REPAIRS))
"""Nothing for a job that is no repair. Put to the driver: with RETURNING the move would take a sixth longer."""


class LeaseLost(Exception):
    """The job is not this attempt's any more: stop at once, and write nothing."""


def fenced(job_id: str, attempt: int) -> tuple[ColumnElement[bool], ...]:
    """The fence: true while the attempt holds the job."""
    return Job.id == job_id, Job.attempt == attempt, Job.status.in_(HELD)


# What clients ask for


def cancel(connection: Connection, job_id: str, owner: str, mode: str) -> None:
    """Cancels a job that waits or is paused at once, and asks the worker of a running one to stop. Repeating it is
    harmless.

    Raises:
        NotFound: there is no such job of this owner.
        IllegalMove: it has already ended otherwise.
    """
    found = _locked(connection, job_id, owner)
    match found.status:
        case Status.QUEUED | Status.PAUSED:
            _move(connection, found, _ended(Status.CANCELLED, CANCELLED), "job.cancelled")
            count_end(connection, found.id)
            if found.origin == REPAIR:
                settle(connection, found.id, found.parent)
        case Status.RUNNING | Status.PAUSING:
            asked = _asked(Status.CANCELLING, "a client cancels it") | {"cancel_mode": mode}
            _move(connection, found, asked, "job.cancelling", mode=mode)
        case Status.CANCELLING if mode == "force":
            connection.execute(update(Job).where(Job.id == job_id).values(cancel_mode=mode))
        case Status.SUCCEEDED | Status.FAILED:
            raise IllegalMove(f"The job has {found.status}; a job that has ended stays as it is.")


def pause(connection: Connection, job_id: str, owner: str) -> None:
    """Takes a job out of the queue, or asks the worker of a running one to write a checkpoint and let go of it.
    Repeating it is harmless.

    Raises:
        NotFound: there is no such job of this owner.
        IllegalMove: it has ended, or is being cancelled.
    """
    found = _locked(connection, job_id, owner)
    match found.status:
        case Status.QUEUED:
            _move(connection, found, _asked(Status.PAUSED, "a client paused it"), "job.paused")
        case Status.RUNNING:
            _move(connection, found, _asked(Status.PAUSING, "a client pauses it"), "job.pausing")
        case Status.CANCELLING | Status.SUCCEEDED | Status.FAILED | Status.CANCELLED:
            raise IllegalMove(f"The job is {found.status}; only one that waits or runs can be paused.")


def resume(connection: Connection, job_id: str, owner: str) -> None:
    """Puts a paused job back into the queue, in the place it had. Harmless for one that waits or runs.

    Raises:
        NotFound: there is no such job of this owner.
        IllegalMove: it has ended, or is still on its way to a pause or an end.
    """
    found = _locked(connection, job_id, owner)
    match found.status:
        case Status.PAUSED:
            again = _asked(Status.QUEUED, "a client resumed it") | {"queued_at": database_now()}
            _move(connection, found, again, "job.resumed")
        case Status.PAUSING | Status.CANCELLING | Status.SUCCEEDED | Status.FAILED | Status.CANCELLED:
            raise IllegalMove(f"The job is {found.status}; only one that is paused can be resumed.")


def rename(
    connection: Connection,
    job_id: str,
    owner: str,
    changes: dict[str, Any],
    is_known: Callable[[int], bool] = lambda version: True,
) -> None:
    """Gives a job another `name`, `tags` or `priority`; the definition stays what was submitted. `is_known` says
    whether the caller knows this version.

    Raises:
        NotFound: there is no such job of this owner.
        OtherVersion: it was changed since the caller read it.
        IllegalMove: a priority for a job that has ended.
    """
    found = _locked(connection, job_id, owner)
    if not is_known(found.version):
        raise OtherVersion
    values: dict[str, Any] = {name: value for name, value in changes.items() if value != getattr(found, name)}
    if "priority" in values:
        if found.status in TERMINAL:
            raise IllegalMove(f"The job is {found.status}; a priority says nothing of a job that has ended.")
        values["rank"] = round(found.rank + AGEING_SECONDS * (found.priority - values["priority"]), 5)
    if values:
        connection.execute(update(Job).where(Job.id == job_id).values(values | {"version": Job.version + 1}))


def remove(connection: Connection, job_id: str, owner: str) -> None:
    """Deletes a job that has ended, with all its rows.

    Raises:
        NotFound: there is no such job of this owner.
        IllegalMove: it has not ended.
    """
    found = _locked(connection, job_id, owner)
    if found.status not in TERMINAL:
        raise IllegalMove(f"The job is {found.status}; only one that has ended can be deleted. Cancel it first.")
    connection.execute(delete(Job).where(Job.id == job_id, Job.status.in_(TERMINAL)))
    if found.origin == REPAIR:
        touch(connection, found.parent)


def _locked(connection: Connection, job_id: str, owner: str) -> Any:
    """The row's columns that moves ask for, which nobody changes before this transaction ends."""
    columns = (
        Job.id,
        Job.status,
        Job.attempt,
        Job.origin,
        Job.parent,
        Job.version,
        Job.name,
        Job.tags,
        Job.priority,
        Job.rank,
    )
    mine = select(*columns).where(Job.id == job_id, seen(Job.owner, owner))
    found = connection.execute(mine.with_for_update()).one_or_none()
    if found is None:
        raise NotFound(f"There is no job {job_id}.")
    return found


def _move(connection: Connection, found: Any, values: dict[str, Any], event: str, **data: Any) -> None:
    guard = Job.id == found.id, Job.status == found.status, Job.attempt == found.attempt
    if _moved(connection, update(Job).where(*guard).values(values)):
        emit(connection, found.id, event, found.attempt, **data)


# What workers do


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
    move = update(Job).where(*fenced(job_id, attempt), Job.status.in_(sources(outcome)))
    title = CANCELLED if outcome == Status.CANCELLED else error.get("title") if error else None
    reason = values.pop("status_reason", None) or title
    move = move.values(_ended(outcome, reason) | {"error": error} | values)
    if _moved(connection, move):
        charge(connection, job_id)
        count_end(connection, job_id)
        if repair := REPAIR_OF.one(connection, job_id=job_id):
            settle(connection, job_id, repair.parent)
        emit(connection, job_id, f"job.{outcome}", attempt, **({"error": error} if error else {}))
    elif not _ended_as(connection, job_id, attempt, outcome):
        raise LeaseLost(job_id)


def give_back(
    connection: Connection, job_id: str, attempt: int, reason: str, max_attempts: int, counts: bool = True
) -> Status:
    """Lets go of a job whose attempt did not come to its end, and says where that left it.

    It is cancelled or paused if that was asked; else it waits again, or is failed after `max_attempts` attempts in a
    row without progress. `counts=False` is a graceful hand-over, which is no fruitless attempt.

    Raises:
        LeaseLost: the attempt does not hold the job.
    """
    row = connection.execute(select(Job.status, Job.fruitless).where(*fenced(job_id, attempt))).one_or_none()
    if row is None:
        raise LeaseLost(job_id)
    if row.status == Status.CANCELLING:
        finish(connection, job_id, attempt, Status.CANCELLED)
        return Status.CANCELLED
    if row.status == Status.PAUSING:
        return _release(connection, job_id, attempt, Status.PAUSED, "a client paused it", "job.paused")
    if counts and row.fruitless >= max_attempts:
        finish(connection, job_id, attempt, Status.FAILED, error=_worker_lost(reason, row.fruitless))
        return Status.FAILED
    fruitless = row.fruitless if counts else max(row.fruitless - 1, 0)
    count_given_back(connection, is_lost=counts)
    return _release(connection, job_id, attempt, Status.QUEUED, reason, "job.requeued", fruitless=fruitless)


def fail(connection: Connection, job_id: str, attempt: int, error: dict[str, Any], **values: Any) -> Status:
    """Ends a job with an error; one that ran out of memory is tried once more before.

    Raises:
        LeaseLost: the attempt does not hold the job.
    """
    failures = select(Job.status, Job.memory_failures).where(*fenced(job_id, attempt))
    row = connection.execute(failures).one_or_none() if error["class"] == "memory" else None
    if row is None or row.memory_failures + 1 >= MEMORY_TRIES:
        finish(connection, job_id, attempt, Status.FAILED, error, **values)
        return Status.FAILED
    connection.execute(update(Job).where(*fenced(job_id, attempt)).values(memory_failures=row.memory_failures + 1))
    return give_back(connection, job_id, attempt, "it ran out of memory, and is tried once more", 1, counts=False)


def sweep(connection: Connection, max_attempts: int, dead: Sequence[str] = ()) -> list[Status]:
    """Gives back every job whose lease ran out, or whose worker is known to be `dead`; two sweepers at once are
    harmless."""
    lost = or_(
        Job.lease_until < lease_now(),
        Job.lease_clock != lease_clock(),
        Job.lease_clock.is_(None),
        Job.worker.in_(dead),
    )
    query = select(Job.id, Job.attempt).where(Job.status.in_(HELD), lost)
    # In one order, for two sweepers that charge the same owners.
    rows = connection.execute(query.order_by(Job.owner, Job.id).with_for_update(skip_locked=True)).all()
    return [give_back(connection, row.id, row.attempt, "its worker was lost", max_attempts) for row in rows]


def _release(
    connection: Connection, job_id: str, attempt: int, target: Status, reason: str, event: str, **values: Any
) -> Status:
    # A job that waits is on no device.
    nowhere = {"lease_until": None, "worker": None, "device": None}
    values |= _asked(target, reason) | nowhere | {"queued_at": database_now()}
    if not _moved(connection, update(Job).where(*fenced(job_id, attempt)).values(values)):
        raise LeaseLost(job_id)
    charge(connection, job_id)
    emit(connection, job_id, event, attempt, reason=reason)
    return target


def _asked(status: Status, reason: str) -> dict[str, Any]:
    return {"status": status, "status_reason": reason, "version": Job.version + 1}


def _ended(outcome: Status, reason: str | None) -> dict[str, Any]:
    end = {"lease_until": None, "finished_at": database_now(), "version": Job.version + 1}
    return end | {"status": outcome, "status_reason": reason}


def _worker_lost(reason: str, attempts: int) -> dict[str, Any]:
    detail = f"{attempts} attempts in a row ended without progress; of the last one: {reason}."
    return error("worker_lost", "The job's worker was lost too often", detail, "infrastructure", retryable=True)


def error(code: str, title: str, detail: str, kind: str, retryable: bool) -> dict[str, Any]:
    """A `job.error`: the shape of a problem, with its class (`user data memory numeric infrastructure`)."""
    return {"code": code, "title": title, "detail": detail, "class": kind, "retryable": retryable}


def _ended_as(connection: Connection, job_id: str, attempt: int, outcome: Status) -> bool:
    row = connection.execute(select(Job.attempt, Job.status).where(Job.id == job_id)).one_or_none()
    return row is not None and tuple(row) == (attempt, outcome)


def _moved(connection: Connection, move: Update) -> bool:
    result: CursorResult[Any] = connection.execute(move)
    return result.rowcount == 1
