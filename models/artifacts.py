"""The files of a job that succeeded: which there are, in what state, and where in the storage.

The checkpoint of its best epoch is stored before the job ends; the others are made of it by a task, after the job is
terminal. So nothing is lost with a worker, and small jobs do not wait for their files.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, Table, bindparam, insert, select, update

from models import tasks
from models.database import database_now
from models.errors import NotFound
from models.ids import new_id
from models.owners import seen, seen_by_asker
from models.questions import Question
from models.reports import ModelKept
from models.storage import Storage, Stored
from models.tables import Artifact, Job
from models.tasks import Kind

CHECKPOINT = "checkpoint.pt"
WEIGHTS = "weights.safetensors"
ONNX = "model.onnx"
DEFINITION = "definition.json"
CARD = "model-card.md"
MEDIA_TYPES = {
    WEIGHTS: "application/octet-stream",
    ONNX: "application/octet-stream",
    DEFINITION: "application/json",
    CARD: "text/markdown; charset=utf-8",
    CHECKPOINT: "application/octet-stream",
}
NAMES = tuple(MEDIA_TYPES)
MADE = tuple(name for name in NAMES if name != CHECKPOINT)
"""By the task."""
ROOT = "artifacts/"
PREDICTIONS = "predictions.parquet"
"""For all rows of a file."""
VALIDATION = {"part": "validation"}
"""Says of an evaluation that it is the job's own, at its end."""


class State(StrEnum):
    """Of an artifact."""

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"


@dataclass(frozen=True)
class Made:
    """What came of one file."""

    name: str
    stored: Stored | None
    reason: str | None = None
    """Why there is none."""

    def values(self) -> dict[str, Any]:
        if self.stored is None:
            return {"state": State.FAILED, "reason": self.reason}
        return {"state": State.READY, "reason": None, "ready_at": database_now(), **self.stored.plain()}


def folder_of(job_id: str) -> str:
    """The prefix of all that is stored of a job."""
    return f"{ROOT}{job_id}/"


def fresh_key(job_id: str, name: str) -> str:
    """One that no other attempt, which may have died before it was recorded, has written to."""
    return f"{folder_of(job_id)}{new_id('try')}/{name}"


def expect(connection: Connection, job_id: str, model: ModelKept) -> None:
    """A job succeeds: its checkpoint is there, and a task makes the rest of it."""
    checkpoint = Made(CHECKPOINT, model.checkpoint, model.reason)
    _insert(connection, job_id, CHECKPOINT, checkpoint.values())
    rest = {"state": State.PENDING} if model.checkpoint else checkpoint.values()
    for name in MADE:
        _insert(connection, job_id, name, rest)
    if model.evaluation is not None:
        tasks.keep_result(connection, job_id, Kind.EVALUATION, VALIDATION, model.evaluation)
    if model.checkpoint:
        tasks.create(connection, job_id, Kind.EXPORT, {})


def _insert(connection: Connection, job_id: str, name: str, values: dict[str, Any]) -> None:
    connection.execute(insert(Artifact).values({"job_id": job_id, "name": name} | values))


def settle(connection: Connection, job_id: str, made: list[Made]) -> None:
    """The task has ended."""
    for one in made:
        of_name = Artifact.job_id == job_id, Artifact.name == one.name
        connection.execute(update(Artifact).where(*of_name).values(one.values()))


def fail_pending(connection: Connection, job_id: str, reason: str) -> None:
    """The task has failed."""
    pending = Artifact.job_id == job_id, Artifact.state == State.PENDING
    connection.execute(update(Artifact).where(*pending).values(state=State.FAILED, reason=reason))


def artifacts_of(connection: Connection, job_id: str, owner: str) -> list[Row[Any]]:
    """All files of a job; none where it has no model."""
    query = select(Artifact.__table__).join(Job, Job.id == Artifact.job_id)
    rows = connection.execute(query.where(Artifact.job_id == job_id, seen(Job.owner, owner))).all()
    return sorted(rows, key=lambda row: NAMES.index(row.name))


_jobs: Table = Job.__table__  # type: ignore[assignment]
_artifacts: Table = Artifact.__table__  # type: ignore[assignment]
FILE = Question(
    select(
        *(_jobs.c.owner, _jobs.c.status, _jobs.c.verdict, _jobs.c.definition, _artifacts.c.state, _artifacts.c.reason),
        *(_artifacts.c.key, _artifacts.c.size, _artifacts.c.sha256, _artifacts.c.ready_at),
    )
    .select_from(_jobs)
    .outerjoin(_artifacts, (_artifacts.c.job_id == _jobs.c.id) & (_artifacts.c.name == bindparam("name")))
    .where(_jobs.c.id == bindparam("job_id"), seen_by_asker(_jobs.c.owner))
)


def find_file(connection: Connection, job_id: str, owner: str, name: str) -> Any:
    """One file, with its job's `status`, `verdict` and `definition`; `state` is None where the job has none.

    Raises:
        NotFound: there is no such job of this owner.
    """
    row = FILE.one(connection, job_id=job_id, owner=owner, name=name)
    if row is None:
        raise NotFound(f"There is no job {job_id}.")
    return row


def stored_of(row: Any) -> Stored:
    """Of one that is ready."""
    return Stored(row.key, row.size, row.sha256)


def checkpoint_of(connection: Connection, job_id: str) -> Stored | None:
    """From which everything else can be made."""
    of_name = Artifact.job_id == job_id, Artifact.name == CHECKPOINT, Artifact.state == State.READY
    row = connection.execute(select(Artifact.key, Artifact.size, Artifact.sha256).where(*of_name)).one_or_none()
    return row and stored_of(row)


def remove(storage: Storage, job_id: str) -> None:
    """The bytes of a job that is deleted."""
    storage.delete_all(folder_of(job_id))


def remove_orphans(connection: Connection, storage: Storage) -> list[str]:
    """The bytes of jobs that are not there any more: whoever deleted one may have died before its bytes were gone, and
    a task may have stored more of them since. A job's row is there before its first byte."""
    stored = {listed.key.split("/")[1] for listed in storage.list(ROOT)}
    orphans = []
    for some in batched(sorted(stored)):
        there = set(connection.scalars(select(Job.id).where(Job.id.in_(some))))
        orphans += [job_id for job_id in some if job_id not in there]
    for job_id in orphans:
        remove(storage, job_id)
    return orphans


def batched(names: list[str], size: int = 500) -> Iterator[list[str]]:
    for start in range(0, len(names), size):
        yield names[start : start + size]
