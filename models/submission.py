"""New jobs: submitted, or made of one that has ended."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, Integer, Table, bindparam, func, insert, select

from models import datasets, idempotency, webhooks
from models.admission import problems_of
from models.database import database_now
from models.definitions.job import JobDefinition
from models.errors import DescentError, IllegalMove, InvalidDefinition, NotFound, Problem, QueueFull
from models.history import event_row
from models.idempotency import Key, KeyTaken
from models.ids import new_id
from models.outbox import tell
from models.owners import seen
from models.states import TERMINAL, Status, Verdict
from models.tables import QUEUED, Event, Job, Use, Webhook
from models.trail import Trail, trail

AGEING_SECONDS = 600.0
"""Waiting for so long weighs as much as one level of priority: among the jobs of an owner none starves."""
RETRY, CLONE, REPAIR = "retry", "clone", "repair"


@dataclass(frozen=True)
class Submission:
    """A definition that was admitted, and whose it is."""

    definition: JobDefinition
    owner: str
    memory_bytes: int = 0
    """What it is estimated to need of a device."""
    parent: str | None = None
    origin: str | None = None
    """How it came of its parent: RETRY, CLONE or REPAIR."""
    repair: dict[str, Any] | None = None
    """Of a REPAIR, what `models.cures.repair_of` says."""
    key: Key | None = None
    """That its client gave to the request."""
    trail: Trail = field(default_factory=trail)
    """Of the request that asks for it; of a job that is repaired by itself, the one that asked for that."""


# Statements of the hot paths are made once: SQLAlchemy takes longer to make one than SQLite takes to run it.
_jobs: Table = Job.__table__  # type: ignore[assignment]
_webhooks = Webhook.__table__.c
_queued = select(_jobs.c.id).where(_jobs.c.owner == bindparam("owner"), _jobs.c.status == bindparam("status"))
_listens = select(_webhooks.id).where(_webhooks.owner == bindparam("owner"), _webhooks.job_id.is_(None)).exists()
COUNT_QUEUED = select(func.count(), database_now(), _listens).select_from(
    _queued.limit(bindparam("most_queued", type_=Integer)).subquery()
)
"""And whether the owner has a webhook: a question of its own would be one more journey for each POST."""
INSERT_JOB = insert(_jobs)
INSERT_USES = insert(Use.__table__)  # type: ignore[arg-type]
INSERT_QUEUED = insert(Event.__table__)  # type: ignore[arg-type]


def submit(connection: Connection, definition: JobDefinition, owner: str, most_queued: int) -> str:
    """Queues a new job and gives its id.

    Raises:
        QueueFull: the owner has `most_queued` jobs waiting.
    """
    return str(submit_one(connection, Submission(definition, owner), most_queued)["id"])


def submit_one(connection: Connection, submission: Submission, most_queued: int) -> dict[str, Any]:
    """Queues a new job and gives the values of its row.

    Raises:
        QueueFull
        InvalidDefinition: its data set is gone.
        KeyTaken
    """
    [answer] = submit_all(connection, [submission], most_queued)
    if isinstance(answer, DescentError):
        raise answer
    return answer


def submit_all(
    connection: Connection, submissions: Sequence[Submission], most_queued: int
) -> list[dict[str, Any] | DescentError]:
    """Queues new jobs, each for its owner; gives for each the values of its row, or the refusal."""
    limit = {"status": Status.QUEUED, "most_queued": most_queued}
    room: dict[str, int] = {}
    listening = set()
    now = 0.0
    for owner in {submission.owner for submission in submissions}:
        waiting, now, listens = connection.execute(COUNT_QUEUED, limit | {"owner": owner}).one()
        room[owner] = most_queued - waiting
        listening |= {owner} if listens else set()
    answers: list[dict[str, Any] | DescentError] = []
    rows = []
    uses = []
    present = datasets.lock(connection, [name for wanted in submissions for name in wanted.definition.data.uploads])
    # As many digits as SQLite writes into the JSON of a history: both times of a job are to be the same.
    now = round(now, 5)
    for submission in submissions:
        if not room[submission.owner]:
            answers.append(
                QueueFull(f"{most_queued} of your jobs are waiting, the most allowed (DESCENT_QUEUED_JOBS).")
            )
            continue
        used = submission.definition.data.uploads
        if gone := used.keys() - present:
            answers.append(_gone(gone.pop()))
            continue
        room[submission.owner] -= 1
        rows.append(_new_row(submission, now))
        uses += [{"job_id": rows[-1]["id"], "dataset_id": dataset} for dataset in used]
        answers.append(rows[-1])
    made = zip(submissions, answers, strict=True)
    keyed = [(wanted.key, row["id"]) for wanted, row in made if wanted.key and not isinstance(row, DescentError)]
    if late := idempotency.keep(connection, keyed):
        answers = [KeyTaken() if not isinstance(row, DescentError) and row["id"] in late else row for row in answers]
        rows = [row for row in rows if row["id"] not in late]
        uses = [use for use in uses if use["job_id"] not in late]
    if rows:
        connection.execute(INSERT_JOB, rows)
        if uses:
            connection.execute(INSERT_USES, uses)
        connection.execute(INSERT_QUEUED, [event_row(row["id"], QUEUED, 0, {}) | {"at": now} for row in rows])
        called = _add_callbacks(connection, submissions, answers)
        for row in rows:
            if row["owner"] in listening or row["id"] in called:
                tell(connection, row["id"], [QUEUED])
    return answers


def _add_callbacks(
    connection: Connection, submissions: Sequence[Submission], answers: Sequence[dict[str, Any] | DescentError]
) -> set[str]:
    """The webhooks of new jobs that ask for one; gives the ids of these jobs."""
    called = set()
    for wanted, row in zip(submissions, answers, strict=True):
        callback = wanted.definition.callback
        if callback is not None and not isinstance(row, DescentError):
            webhooks.add_callback(connection, wanted.owner, row["id"], callback, wanted.parent)
            called.add(row["id"])
    return called


def _gone(dataset: str) -> InvalidDefinition:
    detail = f"The data set {dataset} was deleted meanwhile."
    return InvalidDefinition(
        [Problem("/data/dataset", "unknown_dataset", detail, "GET /v1/datasets lists what is there.")]
    )


def retry(connection: Connection, job_id: str, owner: str, most_queued: int, key: Key | None = None) -> str:
    """Queues a new job of the same definition, child of one that failed or was cancelled, and gives its id. While such
    a child has not ended, it is that child's.

    Raises:
        NotFound: there is no such job of this owner.
        IllegalMove: it has not failed, nor was it cancelled.
        InvalidDefinition: this version does not understand it any more.
        QueueFull
        KeyTaken
    """
    # The parent's row is locked, so that two retries at once come to one child.
    mine = select(Job.owner, Job.status, Job.definition, Job.wanted_memory).where(
        Job.id == job_id, seen(Job.owner, owner)
    )
    parent = connection.execute(mine.with_for_update()).one_or_none()
    if parent is None:
        raise NotFound(f"There is no job {job_id}.")
    if parent.status not in (Status.FAILED, Status.CANCELLED):
        raise IllegalMove(f"The job is {parent.status}; only one that failed or was cancelled can be retried.")
    children = select(Job.id).where(Job.parent == job_id, Job.origin == RETRY, Job.status.not_in(TERMINAL))
    child: str | None = connection.scalar(children.limit(1))
    if child is not None:
        idempotency.keep_one(connection, key, child)
        return child
    try:
        definition = JobDefinition.model_validate(parent.definition)
    except ValidationError as problem:
        raise InvalidDefinition(problems_of(problem, parent.definition)) from problem
    again = Submission(definition, parent.owner, parent.wanted_memory, job_id, RETRY, key=key)
    return str(submit_one(connection, again, most_queued)["id"])


def _stored(definition: JobDefinition) -> dict[str, Any]:
    """As everybody may see it."""
    plain = definition.plain()
    if plain["callback"] is not None:
        plain["callback"]["secret"] = None
    return plain


def _new_row(submission: Submission, now: float) -> dict[str, Any]:
    definition, repair = submission.definition, submission.repair
    resources = definition.resources
    return {
        "id": new_id("job"),
        "owner": submission.owner,
        "parent": submission.parent,
        "origin": submission.origin,
        "repair": repair,
        "remedy": repair and repair["remedy"],
        "remedied": repair and repair["finding"],
        "name": definition.name,
        "tags": list(definition.tags),
        "priority": definition.priority,
        "definition": _stored(definition),
        "family": definition.network.family,
        "dataset": definition.data.dataset,
        "wanted_device": resources.wanted_device,
        "wanted_slots": resources.ranks,
        "wanted_memory": resources.memory or submission.memory_bytes,
        "rank": round(now - AGEING_SECONDS * definition.priority, 5),
        "epochs": definition.training.restarts * (definition.training.epochs or 0),
        "status": Status.QUEUED,
        "verdict": Verdict.UNKNOWN,
        "request_id": submission.trail.request_id,
        "traceparent": submission.trail.traceparent,
        "created_at": now,
        "queued_at": now,
    }
