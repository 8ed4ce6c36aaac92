"""Reading: jobs, their history and their numbers. Nothing here changes anything."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, func, select

from models.database import database_now
from models.errors import NotFound
from models.states import Status
from models.tables import Event, Job, Layer, Statistics, epochs, layer_summaries

STATUS_EVENTS = tuple(f"job.{name}" for name in (*Status, "started", "requeued"))
"""The events that changed a job's status."""

# Statements are made once: SQLAlchemy takes longer to make one than SQLite takes to answer it.
_jobs, _events = Job.__table__.c, Event.__table__.c
_mine = (_jobs.id == bindparam("job_id"), _jobs.owner == bindparam("owner"))
JOB = select(Job.__table__, database_now().label("now"))
FIND_JOB = JOB.where(*_mine)
FIND_VERSION = select(_jobs.id, _jobs.version, _jobs.status).where(*_mine)
VERSIONS = select(_jobs.id, _jobs.version).where(_jobs.id.in_(bindparam("job_ids", expanding=True)))
HISTORIES = (
    select(_events.job_id, _events.type, _events.at, _events.attempt)
    .where(_events.job_id.in_(bindparam("job_ids", expanding=True)), _events.type.in_(STATUS_EVENTS))
    .order_by(_events.id)
)


def find_job(connection: Connection, job_id: str, owner: str) -> Row[Any]:
    """A job's row, with `now`.

    Raises:
        NotFound: there is no such job of this owner.
    """
    return _found(connection, FIND_JOB, job_id, owner)


def find_version(connection: Connection, job_id: str, owner: str) -> Row[Any]:
    """A job's `id version status`, and nothing more: what a client that knows the version needs.

    Raises:
        NotFound: there is no such job of this owner.
    """
    return _found(connection, FIND_VERSION, job_id, owner)


def _found(connection: Connection, query: Select[Any], job_id: str, owner: str) -> Row[Any]:
    row = connection.execute(query, {"job_id": job_id, "owner": owner}).one_or_none()
    if row is None:
        raise NotFound(f"There is no job {job_id}.")
    return row


def list_jobs(
    connection: Connection, owner: str, before: str | None, status: str | None, limit: int
) -> Sequence[Row[Any]]:
    """Jobs, newest first, those before an id only."""
    query = JOB.where(_jobs.owner == owner)
    if before is not None:
        query = query.where(_jobs.id < before)
    if status is not None:
        query = query.where(_jobs.status == status)
    return connection.execute(query.order_by(_jobs.id.desc()).limit(limit)).all()


def versions(connection: Connection, job_ids: Iterable[str]) -> dict[str, int]:
    """The version of each job."""
    return {row.id: row.version for row in connection.execute(VERSIONS, {"job_ids": list(job_ids)})}


def histories(connection: Connection, job_ids: Iterable[str]) -> dict[str, list[Row[Any]]]:
    """The events of each job that changed its status."""
    found: dict[str, list[Any]] = defaultdict(list)
    for row in connection.execute(HISTORIES, {"job_ids": list(job_ids)}):
        found[row.job_id].append(row)
    return found


def queue_positions(connection: Connection, rows: Iterable[Row[Any]]) -> dict[str, int]:
    """For each job that waits, how many are claimed before it, and itself."""
    waiting = [row for row in rows if row.status == Status.QUEUED]
    return {row.id: 1 + _ahead_of(connection, row) for row in waiting}


def _ahead_of(connection: Connection, row: Row[Any]) -> int:
    ahead = (Job.priority > row.priority) | ((Job.priority == row.priority) & (Job.id < row.id))
    query = select(func.count()).select_from(Job).where(Job.status == Status.QUEUED, ahead)
    return connection.scalar(query) or 0


def list_events(connection: Connection, job_id: str, after: int, limit: int) -> Sequence[Row[Any]]:
    query = select(Event.__table__).where(Event.job_id == job_id, Event.id > after)
    return connection.execute(query.order_by(Event.id).limit(limit)).all()


def epoch_rows(connection: Connection, job_id: str, after_epoch: int) -> Sequence[Row[Any]]:
    query = select(epochs).where(epochs.c.job_id == job_id, epochs.c.epoch > after_epoch)
    return connection.execute(query.order_by(epochs.c.epoch)).all()


def layer_rows(connection: Connection, job_id: str) -> Sequence[Row[Any]]:
    return connection.execute(select(Layer.__table__).where(Layer.job_id == job_id).order_by(Layer.index)).all()


def latest_summaries(connection: Connection, job_id: str) -> dict[int, Row[Any]]:
    """Of each tensor the summary of the latest epoch that has one, by the tensor's column."""
    of_job = layer_summaries.c.job_id == job_id
    latest = select(func.max(layer_summaries.c.epoch)).where(of_job).scalar_subquery()
    rows = connection.execute(select(layer_summaries).where(of_job, layer_summaries.c.epoch == latest))
    return {row.tensor_index: row for row in rows}


def chunks(connection: Connection, job_id: str, series: str, from_step: int, to_step: int | None) -> list[bytes]:
    """The chunks of a series that touch a range of steps, in order."""
    of_series = (Statistics.job_id == job_id, Statistics.series == series)
    query = select(Statistics.data).where(*of_series, Statistics.last_step >= from_step)
    if to_step is not None:
        query = query.where(Statistics.first_step <= to_step)
    return list(connection.scalars(query.order_by(Statistics.first_step)))
