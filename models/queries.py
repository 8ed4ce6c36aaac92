"""Reading: jobs, their history and their numbers. Nothing here changes anything."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    JSON,
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    LargeBinary,
    Row,
    Select,
    Text,
    and_,
    bindparam,
    column,
    func,
    literal_column,
    select,
    tuple_,
    values,
)
from sqlalchemy.sql.functions import GenericFunction

from models.database import database_now, literal, spelt
from models.errors import NotFound
from models.filters import FILTERS, Threshold, values_of
from models.outlook import Line
from models.owners import EVERYBODY, seen, seen_by_asker
from models.questions import Question
from models.series import HEAD_BYTES, Layout, Piece
from models.states import HELD, Status
from models.tables import OF_HISTORY, QUEUED, Event, Finding, Job, Layer, Share, Statistics, epochs, layer_summaries


class Mark(NamedTuple):
    """How far a job has come."""

    version: int
    event: int
    """Id of its last event."""


STATUS_EVENTS = tuple(f"job.{name}" for name in (*Status, "started", "requeued", "resumed"))
"""The events that changed a job's status, as SQL literals."""


class json_array(GenericFunction[Any]):  # noqa: N801
    """Some values as a JSON array; PostgreSQL calls it otherwise."""

    inherit_cache = True


class json_group_array(GenericFunction[Any]):  # noqa: N801
    """The values of all rows as a JSON array."""

    inherit_cache = True


spelt(json_array, postgresql="json_build_array({})")
spelt(json_group_array, postgresql="json_agg({})")

# Statements are made once: SQLAlchemy takes longer to make one than SQLite takes to answer it.
_jobs, _events = Job.__table__.c, Event.__table__.c
HISTORY = (
    select(json_group_array(json_array(_events.id, _events.type, _events.at, _events.attempt), type_=JSON))
    .where(_events.job_id == _jobs.id, OF_HISTORY, _events.type.in_(map(literal, STATUS_EVENTS)))
    .scalar_subquery()
)
"""With the row, for a statement of its own takes as long as the rest of an answer."""
_findings, _said = Finding.__table__.c, Finding.__table__.alias("found").c
FINDINGS = (
    select(json_group_array(json_array(_said.place, _said.code, _said.severity), type_=JSON))
    .where(_said.job_id == _jobs.id)
    .scalar_subquery()
)
_children = Job.__table__.alias("children").c
REPAIRS = (
    select(
        json_group_array(
            json_array(_children.id, _children.status, _children.verdict, _children.remedy, _children.remedied),
            type_=JSON,
        )
    )
    .where(_children.parent == _jobs.id, _children.origin == literal("repair"))
    .scalar_subquery()
)
NOT_SHOWN = {
    *("facts", "incident", "diagnosis", "repair", "remedy", "remedied", "cured"),
    *("request_id", "traceparent", "reported_at", "checkpoint_at"),
}
"""Columns of a job that a list of jobs would read in vain."""
JOB = select(
    *(column for column in _jobs if column.name not in NOT_SHOWN),
    database_now().label("now"),
    *(HISTORY.label("history"), FINDINGS.label("findings"), REPAIRS.label("repairs")),
)
_mine = (_jobs.id == bindparam("job_id"), seen_by_asker(_jobs.owner))
FIND_JOB = Question(JOB.where(*_mine))
NEW = {column.name: column.default.arg if column.default else None for column in _jobs if column.name not in NOT_SHOWN}
FIND_VERSION = Question(select(_jobs.id, _jobs.version, _jobs.status).where(*_mine))
_newest = select(func.max(_events.id)).where(_events.job_id == _jobs.id).scalar_subquery()
MARKS = select(_jobs.id, _jobs.version, _newest.label("event")).where(
    _jobs.id.in_(bindparam("job_ids", expanding=True))
)
_others = Job.__table__.alias("others").c
_is_held = _others.status.in_(map(literal, sorted(HELD)))
_holds = select(func.coalesce(func.sum(_others.wanted_slots), 0)).where(_others.owner == _jobs.owner, _is_held)
_shares = (Share.served, Share.attempt_seconds)
WAITING = Question(
    select(
        _jobs.owner,
        json_group_array(json_array(_jobs.rank, _jobs.id), type_=JSON).label("waiting"),
        _holds.scalar_subquery().label("holds"),
        *(select(share).where(Share.owner == _jobs.owner).scalar_subquery().label(share.key) for share in _shares),
    )
    .where(_jobs.status == Status.QUEUED)
    .group_by(_jobs.owner)
)
"""A row for each owner: on SQLite each row lets go of the interpreter's lock, and waits for it again."""
QUEUED_COLUMNS = (
    *(_jobs.id, _jobs.name, _jobs.owner, _jobs.priority, _jobs.rank, _jobs.queued_at, _jobs.status),
    *(_jobs.wanted_device, _jobs.wanted_slots, _jobs.wanted_memory),
)
_statistics = Statistics.__table__.c
_of_series = _statistics.job_id == bindparam("job_id"), _statistics.series == bindparam("series")
FIRST_HEAD = Question(
    select(func.substr(_statistics.data, 1, literal_column(str(HEAD_BYTES)), type_=LargeBinary))
    .where(*_of_series)
    .order_by(_statistics.first_step)
    .limit(1)
)


def _slice(start: ColumnElement[int], size: ColumnElement[int]) -> ColumnElement[bytes]:
    return func.substr(_statistics.data, 1 + start, size, type_=LargeBinary)


def _bytes(name: str) -> ColumnElement[int]:
    return bindparam(name, type_=Integer)


PIECES = Question(
    select(
        _slice(literal_column("0"), _bytes("head") + 8 * _statistics.samples),
        _slice(_bytes("head") + _bytes("before") * _statistics.samples, _bytes("width") * _statistics.samples),
    )
    .where(*_of_series)
    .where(_statistics.last_step >= bindparam("from_step", type_=BigInteger))
    .where(_statistics.first_step <= bindparam("to_step", type_=BigInteger))
    .order_by(_statistics.first_step)
)
"""Of each chunk what a series needs, cut out by the database: as `models.series.Place` says."""
LAST_STEP = 2**63 - 1


def find_job(connection: Connection, job_id: str, owner: str) -> Row[Any]:
    """A job's row, with `now`; its `history`: the events that changed its status, as lists of `id type at attempt`;
    its `findings`, as lists of `place code severity`; its `repairs`, as lists of `id status verdict remedy finding`.

    Raises:
        NotFound: there is no such job of this owner.
    """
    return _found(connection, FIND_JOB, job_id, owner)


def as_found(values: dict[str, Any]) -> Row[Any]:
    """The row of a job that was inserted with these values, as `find_job` gives it."""
    at = values["created_at"]
    shown = {name: value for name, value in values.items() if name not in NOT_SHOWN}
    row: Row[Any] = FIND_JOB.row(**NEW | shown, now=at, history=[[0, QUEUED, at, 0]], findings=[], repairs=[])
    return row


def find_version(connection: Connection, job_id: str, owner: str) -> Row[Any]:
    """A job's `id version status`, and nothing more: what a client that knows the version needs.

    Raises:
        NotFound: there is no such job of this owner.
    """
    return _found(connection, FIND_VERSION, job_id, owner)


def _found(connection: Connection, question: Question, job_id: str, owner: str) -> Row[Any]:
    row: Row[Any] | None = question.one(connection, job_id=job_id, owner=owner)
    if row is None:
        raise NotFound(f"There is no job {job_id}.")
    return row


def list_jobs(
    connection: Connection, owner: str, place: str | None, limit: int, oldest_first: bool = False, **wanted: Any
) -> Sequence[Row[Any]]:
    """Jobs, newest or oldest first, those behind an id only, that are as `wanted`: by the names of
    `models.filters.FILTERS`, and a Threshold as `metric`; rows as `find_job` gives them."""
    given = values_of({"owner": owner, "limit": limit, "place": place} | wanted)
    names = (name for name in given if name in FILTERS)
    of_all = owner == EVERYBODY
    statement = select_jobs(place, *names, metric=wanted.get("metric"), oldest_first=oldest_first, of_all=of_all)
    return connection.execute(statement, given).all()


def select_jobs(
    place: str | None,
    *wanted: str,
    metric: Threshold | None = None,
    oldest_first: bool = False,
    of_all: bool = False,
) -> Select[Any]:
    """The statement of a list: with the conditions that are asked for, so that each has its index."""
    query, column, owner = JOB, _jobs.id, _jobs.owner
    if "finding" in wanted:
        # From the index of findings, in its order: a job has each finding once, and its owner is that of its findings.
        query = query.join(Finding.__table__, _findings.job_id == _jobs.id)
        column, owner = _findings.job_id, _findings.owner
    if not of_all:
        query = query.where(owner == bindparam("owner"))
    for name in wanted:
        query = query.where(*FILTERS[name])
    if metric is not None:
        query = query.where(metric.condition)
    if place is not None:
        query = query.where(column > bindparam("place") if oldest_first else column < bindparam("place"))
    return query.order_by(column.asc() if oldest_first else column.desc()).limit(bindparam("limit", type_=Integer))


def marks(connection: Connection, job_ids: Iterable[str]) -> dict[str, Mark]:
    """Of each job how far it has come."""
    rows = connection.execute(MARKS, {"job_ids": list(job_ids)})
    return {row.id: Mark(row.version, row.event or 0) for row in rows}


def lines(connection: Connection) -> dict[str, Line]:
    """The queue, by owner."""
    rows = WAITING.all(connection)
    return {
        row.owner: Line(row.owner, sorted(map(tuple, row.waiting)), row.holds, row.served or 0.0, row.attempt_seconds)
        for row in rows
    }


def queued_jobs(connection: Connection, owner: str, after: tuple[float, str] | None, limit: int) -> Sequence[Row[Any]]:
    """Waiting jobs of an owner in the order in which they will be claimed, those behind a (rank, id) only."""
    return connection.execute(select_queued(owner, after).limit(limit)).all()


def select_queued(owner: str, after: tuple[float, str] | None) -> Select[Any]:
    query = select(*QUEUED_COLUMNS).where(_jobs.status == Status.QUEUED, seen(_jobs.owner, owner))
    if after is not None:
        query = query.where(tuple_(_jobs.rank, _jobs.id) > tuple_(*after))
    return query.order_by(_jobs.rank, _jobs.id)


def list_events(connection: Connection, job_id: str, after: int, limit: int) -> Sequence[Row[Any]]:
    query = select(Event.__table__).where(Event.job_id == job_id, Event.id > after)
    return connection.execute(query.order_by(Event.id).limit(limit)).all()


def epoch_rows(connection: Connection, job_id: str, after_epoch: int) -> Sequence[Row[Any]]:
    query = select(epochs).where(epochs.c.job_id == job_id, epochs.c.epoch > after_epoch)
    return connection.execute(query.order_by(epochs.c.epoch)).all()


def losses_at(connection: Connection, places: Sequence[tuple[str, int]]) -> dict[str, list[float | None]]:
    """Training losses of some epochs of some jobs, by job, in the order of the epochs."""
    if not places:
        return {}
    # A list of pairs in WHERE would have SQLite read the whole table.
    of_job, at = epochs.c.job_id, epochs.c.epoch
    wanted = values(column("job_id", Text), column("epoch", Integer), name="wanted").data(list(places)).cte()
    query = select(of_job, at, epochs.c.train_loss).join_from(
        wanted, epochs, and_(of_job == wanted.c.job_id, at == wanted.c.epoch)
    )
    found: dict[str, list[float | None]] = {}
    for job_id, _, loss in connection.execute(query.order_by(of_job, at)):
        found.setdefault(job_id, []).append(loss)
    return found


def layer_rows(connection: Connection, job_id: str) -> Sequence[Row[Any]]:
    return connection.execute(select(Layer.__table__).where(Layer.job_id == job_id).order_by(Layer.index)).all()


def latest_summaries(connection: Connection, job_id: str) -> dict[int, Row[Any]]:
    """Of each tensor the summary of the latest epoch that has one, by the tensor's column."""
    of_job = layer_summaries.c.job_id == job_id
    latest = select(func.max(layer_summaries.c.epoch)).where(of_job).scalar_subquery()
    rows = connection.execute(select(layer_summaries).where(of_job, layer_summaries.c.epoch == latest))
    return {row.tensor_index: row for row in rows}


def pieces(
    connection: Connection, job_id: str, series: str, statistic: str, from_step: int, to_step: int | None
) -> list[Piece]:
    """Of each chunk of a series that touches a range of steps its part of one statistic, in order."""
    of_series = {"job_id": job_id, "series": series}
    first = FIRST_HEAD.one(connection, **of_series)
    if first is None:
        return []
    # One attempt wrote them all, so that they are laid out alike.
    place = vars(Layout.of(first[0]).place_of(series, statistic))
    steps = {"from_step": from_step, "to_step": LAST_STEP if to_step is None else to_step}
    return [Piece(*row) for row in PIECES.all(connection, **of_series, **place, **steps)]
