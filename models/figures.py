"""What an operator watches, as the database has it: read by a handful of questions, each answered by an index."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Double, case, func, literal_column, select

from models.database import database_now, larger, literal
from models.fleet import Fleet, read_fleet
from models.questions import Question
from models.states import HELD, TERMINAL, Status
from models.tables import OPEN, PENDING, Dataset, Delivery, Job, Task
from models.tallies import SUMS

_jobs, _tasks, _datasets = Job.__table__.c, Task.__table__.c, Dataset.__table__.c
UNDER_WAY = sorted(set(Status) - TERMINAL - {Status.QUEUED})


def _since(*times: Any) -> Any:
    """Seconds since the latest of these times, of the job of which that is longest ago."""
    latest: Any = literal_column("0.0", Double)
    for time in times:
        latest = larger(latest, func.coalesce(time, 0.0))
    return func.max(database_now() - latest)


PRIORITIES = ("low", "normal", "high")
"""Below 0, 0, and above: of the numbers there are two thousand."""
_priority = case((_jobs.priority < 0, literal("low")), (_jobs.priority > 0, literal("high")))
WAITING = Question(
    select(
        func.coalesce(_priority, literal("normal")).label("priority"),
        func.count().label("jobs"),
        _since(_jobs.queued_at).label("age"),
    )
    .where(_jobs.status == literal(Status.QUEUED))
    .group_by(literal_column("1"))
)
STATES = Question(
    select(
        _jobs.status,
        func.count().label("jobs"),
        _since(_jobs.reported_at, _jobs.claimed_at).label("unreported"),
        _since(_jobs.checkpoint_at, _jobs.claimed_at).label("unsaved"),
    )
    .where(_jobs.status.in_(map(literal, UNDER_WAY)))
    .group_by(_jobs.status)
)
TASKS = Question(
    select(_tasks.kind, func.count().label("tasks"), _since(_tasks.created_at).label("age"))
    .where(OPEN)
    .group_by(_tasks.kind)
)
INGESTING = Question(select(func.count().label("datasets")).where(_datasets.status == literal("ingesting")))
_oldest = func.coalesce(database_now() - func.min(Delivery.pending_since), 0.0)
UNTOLD = Question(select(func.count().label("messages"), _oldest.label("age")).where(PENDING))
"""An index has all that it reads."""


@dataclass(frozen=True)
class Line:
    """What waits, of one kind."""

    count: int
    age_seconds: float
    """Of what has waited longest; 0 where nothing does."""


@dataclass(frozen=True)
class Figures:
    """At one moment."""

    waiting: dict[str, Line]
    """Jobs, by priority."""
    states: dict[str, int]
    """Jobs, by status; those that have ended are counted below."""
    unreported_seconds: float
    """Since the runner of a job last said what is recorded, of the job of which that is longest ago."""
    unsaved_seconds: float
    """Since the last checkpoint, or the start of the attempt, of the job that would lose most."""
    tasks: dict[str, Line]
    """By kind."""
    ingesting: int
    """Data sets that are read, or wait for that."""
    untold: Line
    """Messages to webhooks that are yet to be delivered."""
    fleet: Fleet
    counts: dict[str, dict[tuple[str, str], float]]
    """Of `models.tallies`, by name."""

    def count(self, name: str) -> float:
        return sum(self.counts.get(name, {}).values())


def read_figures(connection: Connection, lease_seconds: float) -> Figures:
    states = STATES.all(connection)
    held = [row for row in states if row.status in HELD]
    counts: dict[str, dict[tuple[str, str], float]] = {}
    for row in SUMS.all(connection):
        counts.setdefault(row.name, {})[row.label, row.detail] = row.value
    return Figures(
        waiting=_lines(WAITING.all(connection)),
        states={row.status: row.jobs for row in states},
        unreported_seconds=max([0.0, *(row.unreported for row in held)]),
        unsaved_seconds=max([0.0, *(row.unsaved for row in held)]),
        tasks=_lines(TASKS.all(connection)),
        ingesting=INGESTING.one(connection).datasets,
        untold=_line(*UNTOLD.one(connection)),
        fleet=read_fleet(connection, lease_seconds),
        counts=counts,
    )


def _lines(rows: Sequence[Any]) -> dict[str, Line]:
    return {kind: _line(count, age) for kind, count, age in rows}


def _line(count: int, age: float) -> Line:
    """Clocks may have been set back."""
    return Line(count, max(age, 0.0))
