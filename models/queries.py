"""Reading: jobs, their history and their numbers. Nothing here changes anything."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import JSON, Connection, Integer, Row, Select, bindparam, func, literal_column, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

from models.database import database_now
from models.errors import NotFound
from models.states import Status
from models.tables import OF_HISTORY, Event, Job, Layer, Statistics, epochs, layer_summaries

STATUS_EVENTS = tuple(f"'job.{name}'" for name in (*Status, "started", "requeued"))
"""The events that changed a job's status, as SQL literals."""


class json_array(GenericFunction[Any]):  # noqa: N801
    """Some values as a JSON array; PostgreSQL calls it otherwise."""

    inherit_cache = True


class json_group_array(GenericFunction[Any]):  # noqa: N801
    """The values of all rows as a JSON array."""

    inherit_cache = True


@compiles(json_array, "postgresql")
def _json_array(element: Any, compiler: Any, **options: Any) -> str:
    return f"json_build_array({compiler.process(element.clauses, **options)})"


@compiles(json_group_array, "postgresql")
def _json_group_array(element: Any, compiler: Any, **options: Any) -> str:
    return f"json_agg({compiler.process(element.clauses, **options)})"


# Statements are made once: SQLAlchemy takes longer to make one than SQLite takes to answer it.
_jobs, _events = Job.__table__.c, Event.__table__.c
HISTORY = (
    select(json_group_array(json_array(_events.id, _events.type, _events.at, _events.attempt), type_=JSON))
    .where(_events.job_id == _jobs.id, OF_HISTORY, _events.type.in_(map(literal_column, STATUS_EVENTS)))
    .scalar_subquery()
)
"""With the row, for a statement of its own takes as long as the rest of an answer."""
JOB = select(Job.__table__, database_now().label("now"), HISTORY.label("history"))
_mine = (_jobs.id == bindparam("job_id"), _jobs.owner == bindparam("owner"))
FIND_JOB = JOB.where(*_mine)
FIND_VERSION = select(_jobs.id, _jobs.version, _jobs.status).where(*_mine)
VERSIONS = select(_jobs.id, _jobs.version).where(_jobs.id.in_(bindparam("job_ids", expanding=True)))
WAITING = (
    select(-_jobs.priority, _jobs.id).where(_jobs.status == Status.QUEUED).order_by(_jobs.priority.desc(), _jobs.id)
)


def find_job(connection: Connection, job_id: str, owner: str) -> Row[Any]:
    """A job's row, with `now`, and its `history`: the events that changed its status, in order, as lists of
    `id type at attempt`.

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
    """Jobs, newest first, those before an id only; rows as `find_job` gives them."""
    values = {"owner": owner, "limit": limit, "before": before, "status": status}
    given = {name: value for name, value in values.items() if value is not None}
    return connection.execute(select_jobs(before, status), given).all()


def select_jobs(before: str | None, status: str | None) -> Select[Any]:
    """The statement of a list: with the conditions that are asked for, so that each has its index."""
    query = JOB.where(_jobs.owner == bindparam("owner"))
    if before is not None:
        query = query.where(_jobs.id < bindparam("before"))
    if status is not None:
        query = query.where(_jobs.status == bindparam("status"))
    return query.order_by(_jobs.id.desc()).limit(bindparam("limit", type_=Integer))


def versions(connection: Connection, job_ids: Iterable[str]) -> dict[str, int]:
    """The version of each job."""
    return {row.id: row.version for row in connection.execute(VERSIONS, {"job_ids": list(job_ids)})}


def waiting(connection: Connection) -> list[tuple[int, str]]:
    """The queue: of each job that waits its (-priority, id), ascending, in the order in which they are claimed."""
    return [(rank, job_id) for rank, job_id in connection.execute(WAITING)]


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
