"""What has happened, counted in the transaction in which it happens: a count is neither lost nor made twice, and does
not fall when a job is deleted.

Rows are added and never changed, so that two jobs that end at once do not wait for each other; `fold` adds them up.
"""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import (
    Connection,
    Double,
    Select,
    Table,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    select,
    union_all,
)

from models.database import database_now, larger, literal
from models.questions import Question
from models.tables import Finding, Job, Tally

ENDED = "ended"
"""Jobs that ended, by status and verdict."""
FAILED = "failed"
"""Of these those that failed, by the code of their error."""
FOUND = "found"
"""Findings of their last diagnosis, by code and severity."""
WAITS = "waits"
"""Jobs that ended after they had started."""
WAITED = "waited"
"""Seconds from their submission to that start, added up."""
LOST_SAMPLES = "lost_samples"
"""Samples of statistics that could not be written."""
GIVEN_BACK = "given_back"
"""Attempts that ended before their job, by one of REASONS."""
REASONS = LOST, HANDED_OVER = "lost", "handed_over"
"""With their process or worker; or in peace, as at a shutdown."""
DEVICE_SECONDS = "device_seconds"
"""For which attempts held devices."""

MOST_ROWS = 500
"""That are left as they are."""

_jobs, _findings = Job.__table__.c, Finding.__table__.c
_tallies: Table = Tally.__table__  # type: ignore[assignment]
COLUMNS = ["name", "label", "detail", "value"]


def _row(name: str, label: Any, detail: Any, value: Any) -> Select[Any]:
    """A row about a job."""
    return select(literal(name), label, detail, value).where(_jobs.id == bindparam("of_job"))


def _of_the_end() -> Iterator[Select[Any]]:
    one, nothing = literal_column("1.0", Double), literal("")
    yield _row(ENDED, _jobs.status, _jobs.verdict, one)
    yield _row(FAILED, _jobs.error["code"].as_string(), nothing, one).where(_jobs.error.is_not(None))
    waited = larger(_jobs.started_at - _jobs.created_at, 0.0)
    for name, value in ((WAITS, one), (WAITED, waited)):
        yield _row(name, nothing, nothing, value).where(_jobs.started_at.is_not(None))
    lost = _row(LOST_SAMPLES, nothing, nothing, _jobs.statistics_lost * one)
    yield lost.where(_jobs.statistics_lost > 0)
    of_job = _findings.job_id == bindparam("of_job")
    yield select(literal(FOUND), _findings.code, _findings.severity, one).where(of_job)


INSERT_END = insert(_tallies).from_select(COLUMNS, union_all(*_of_the_end()))
_seconds = larger(database_now() - func.coalesce(_jobs.claimed_at, database_now()), 0.0)
INSERT_SECONDS = insert(_tallies).from_select(
    COLUMNS, _row(DEVICE_SECONDS, literal(""), literal(""), _jobs.wanted_slots * _seconds)
)
INSERT = insert(_tallies)
_sum = func.sum(_tallies.c.value)
SUMS = Question(
    select(_tallies.c.name, _tallies.c.label, _tallies.c.detail, _sum.label("value")).group_by(
        _tallies.c.name, _tallies.c.label, _tallies.c.detail
    )
)


def count_end(connection: Connection, job_id: str) -> None:
    """A job has just ended, with the verdict and the findings that its row has."""
    connection.execute(INSERT_END, {"of_job": job_id})


def count_given_back(connection: Connection, is_lost: bool) -> None:
    row = {"name": GIVEN_BACK, "label": LOST if is_lost else HANDED_OVER, "detail": "", "value": 1.0}
    connection.execute(INSERT, row)


def fold(connection: Connection) -> None:
    """Adds rows up, if there are many; two at once are harmless, for each takes rows of its own."""
    if (connection.scalar(select(func.count()).select_from(_tallies)) or 0) <= MOST_ROWS:
        return
    mine = select(_tallies.c.id).with_for_update(skip_locked=True)
    taken = delete(_tallies).where(_tallies.c.id.in_(mine)).returning(*(_tallies.c[name] for name in COLUMNS))
    sums: dict[tuple[str, str, str], float] = {}
    for *key, value in connection.execute(taken):
        sums[tuple(key)] = sums.get(tuple(key), 0.0) + value
    rows = [dict(zip(COLUMNS, (*key, value), strict=True)) for key, value in sums.items()]
    if rows:
        connection.execute(INSERT, rows)
