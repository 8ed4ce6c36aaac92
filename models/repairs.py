"""Repairs: new jobs, each its parent's definition with a remedy of a diagnosis applied. Asked for, or by themselves."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Connection, case, func, select
from sqlalchemy.exc import SQLAlchemyError

from models.admission import Admitted, admit
from models.capacity import Capacity, capacity_of
from models.cures import OUTCOME, found_of, is_improved, outcome, repair_of, touch
from models.datasets import uploads_of
from models.diagnosed import Diagnosed
from models.diagnosis.finding import Severity
from models.diagnosis.remedies import MORE_EPOCHS
from models.errors import IllegalMove, InvalidDefinition, NoRemedy, NotFound, Problem, QueueFull
from models.findings import findings_of
from models.history import emit
from models.idempotency import Key, keep_one
from models.owners import seen
from models.patches import patched
from models.states import TERMINAL
from models.submission import REPAIR, Submission, submit_one
from models.tables import Job
from models.uploads import Uploads
from models.workers import registered

log = logging.getLogger(__name__)

REPAIRED = "job.repair"
MOST_ANCESTORS = 100


@dataclass(frozen=True)
class Limits:
    """What a new job has to keep to: settings of the same names."""

    queued_jobs: int = 10_000
    body_bytes: int = 1_000_000
    memory_bytes: int = 0


@dataclass(frozen=True)
class Choice:
    """A remedy, and the finding that it is for."""

    finding: str
    remedy: str
    patch: list[dict[str, Any]]


def choices_of(findings: Iterable[Mapping[str, Any]]) -> Iterator[Choice]:
    """All remedies, the best of the first finding first."""
    for finding in findings:
        for remedy in finding["remedies"]:
            yield Choice(str(finding["code"]), remedy["id"], [dict(operation) for operation in remedy["patch"]])


def choose(found: Diagnosed, wanted: str | None) -> Choice:
    """The remedy of this id; by default the first.

    Raises:
        IllegalMove: the job has not ended.
        NoRemedy: it has no finding with a remedy.
        InvalidDefinition: none of its remedies has this id.
    """
    if found.job.status not in TERMINAL:
        raise IllegalMove(f"The job is {found.job.status}; only one that has ended can be repaired.")
    choices = list(choices_of(found.faults_first))
    if not choices:
        raise NoRemedy("None of its findings has a remedy." if found.said["findings"] else "It has no finding to cure.")
    chosen = [choice for choice in choices if wanted in (None, choice.remedy)]
    if not chosen:
        known = ", ".join(dict.fromkeys(choice.remedy for choice in choices))
        detail = f"Its diagnosis has no remedy {(wanted or '')[:100]!r}."
        raise InvalidDefinition([Problem("/remedy", "unknown_remedy", detail, f"There are {known}.")])
    return chosen[0]


def admit_repair(
    definition: dict[str, Any], choice: Choice, capacity: Capacity, most_bytes: int, uploads: Uploads
) -> Admitted:
    """A definition with a remedy applied, and one less of the repairs that may follow by themselves.

    Raises:
        InvalidDefinition: the remedy does not apply, or what comes of it cannot be trained.
    """
    left = ((definition.get("repair") or {}).get("max_jobs") or 1) - 1
    fewer = definition | {"repair": {"max_jobs": left} if left else None}
    return admit(patched(fewer, choice.patch, most_bytes), capacity, uploads)


def queue_repair(
    connection: Connection,
    found: Diagnosed,
    owner: str,
    choice: Choice,
    admitted: Admitted,
    most_queued: int,
    key: Key | None = None,
) -> str:
    """Queues a repair of a job that has ended, and gives its id. While one by this remedy has not ended, it is that
    one's.

    Raises:
        NotFound: the job was deleted meanwhile.
        QueueFull
        KeyTaken
    """
    # The parent's row is locked, so that two calls at once come to one child.
    mine = select(Job.id, Job.owner, Job.best).where(Job.id == found.job.id, seen(Job.owner, owner))
    parent = connection.execute(mine.with_for_update()).one_or_none()
    if parent is None:
        raise NotFound(f"There is no job {found.job.id}.")
    same = Job.parent == parent.id, Job.origin == REPAIR, Job.remedy == choice.remedy, Job.remedied == choice.finding
    child: str | None = connection.scalar(select(Job.id).where(*same, Job.status.not_in(TERMINAL)).limit(1))
    if child is None:
        repair = repair_of(parent, found.said["findings"], choice.finding, choice.remedy)
        child = _queue(connection, parent.owner, admitted, repair, most_queued)
        touch(connection, parent.id)
    keep_one(connection, key, child)
    return child


def _queue(connection: Connection, owner: str, admitted: Admitted, repair: dict[str, Any], most_queued: int) -> str:
    wanted = Submission(admitted.definition, owner, admitted.memory_bytes, repair["of"], REPAIR, repair)
    return str(submit_one(connection, wanted, most_queued)["id"])


def repair_by_itself(
    connection: Connection, job_id: str, attempt: int, status: str, error: Mapping[str, Any] | None, limits: Limits
) -> None:
    """Queues the next repair of a job that is about to end like this with a fault, and whose definition asks for it;
    its history says what came of it. The attempt holds the job's row, and its diagnosis is written."""
    columns = Job.id, Job.owner, Job.definition, Job.cancel_mode, Job.parent
    job = connection.execute(select(*columns, *OUTCOME).where(Job.id == job_id)).one()
    findings = findings_of(connection, job_id)
    faults = [finding for finding in findings if finding["severity"] == Severity.FAULT]
    if not faults or job.cancel_mode is not None:
        return
    told = _next(connection, job, findings, _untried(connection, job, faults, status, error), limits)
    emit(connection, job_id, REPAIRED, attempt, **told)


def _untried(
    connection: Connection,
    job: Any,
    faults: Sequence[Mapping[str, Any]],
    status: str,
    error: Mapping[str, Any] | None,
) -> list[Choice]:
    """The remedies of a job's faults, without those that were of no use to it or to those that it came of."""
    repairs = _repairs_before(connection, job.parent)
    if job.repair is not None:
        repairs.append(outcome(job, status, error, found_of(connection, job.id)))
    useless = {said["remedy"] for said in repairs if not (said.get("cured") or is_improved(said.get("metric")))}
    # Nobody watches: a budget that is multiplied again and again would hold a slot for days.
    useless |= {said["remedy"] for said in repairs} & {MORE_EPOCHS}
    return [choice for choice in choices_of(faults) if choice.remedy not in useless]


def _repairs_before(connection: Connection, parent: str | None) -> list[dict[str, Any]]:
    """`jobs.repair` of a job and of those that it came of, as far as they were repairs."""
    found: list[dict[str, Any]] = []
    while parent is not None and len(found) < MOST_ANCESTORS:
        row = connection.execute(select(Job.parent, Job.repair).where(Job.id == parent)).one_or_none()
        if row is None or row.repair is None:
            break
        found.append(row.repair)
        parent = row.parent
    return found


def _next(
    connection: Connection, job: Any, findings: Sequence[Mapping[str, Any]], choices: Sequence[Choice], limits: Limits
) -> dict[str, Any]:
    """What to tell of the first remedy that can be applied."""
    told: dict[str, Any] = {"skipped": "no_remedy"}
    for choice in choices:
        told = {"remedy": choice.remedy, "finding": choice.finding}
        try:
            if patched(job.definition, choice.patch, limits.body_bytes) == to_json(job.definition):
                told |= {"skipped": "changes_nothing"}
                continue
            capacity = capacity_of(registered(connection), limits.memory_bytes)
            uploads = uploads_of(connection, job.owner)
            admitted = admit_repair(job.definition, choice, capacity, limits.body_bytes, uploads)
            repair = repair_of(job, findings, choice.finding, choice.remedy)
            return told | {"job": _queue(connection, job.owner, admitted, repair, limits.queued_jobs)}
        except QueueFull:
            return told | {"skipped": "queue_full"}
        except InvalidDefinition as refused:
            told |= {"skipped": "not_applicable", "detail": str(refused)}
        except SQLAlchemyError:
            raise
        except Exception:  # whatever is wrong with a remedy, its job ends as it did
            log.exception("%s could not be repaired by %s", job.id, choice.remedy)
            told |= {"skipped": "not_applicable", "detail": "The remedy could not be applied."}
    return told


def remedy_rows(connection: Connection, owner: str) -> list[dict[str, Any]]:
    """What came of the remedies that an owner's jobs tried. A repair counts as ended when it says something of its
    remedy."""
    tried, ended = func.count(), func.count(Job.cured)
    cured = func.count(case((Job.cured.is_(True), 1)))
    query = select(Job.remedy, Job.remedied, tried, ended, cured).where(seen(Job.owner, owner), Job.remedy.is_not(None))
    rows = connection.execute(query.group_by(Job.remedy, Job.remedied).order_by(Job.remedy, Job.remedied))
    return [
        {"remedy": remedy, "finding": finding, "tried": tried, "ended": ended, "cured": cured}
        | {"success_rate": cured / ended if ended else None}
        for remedy, finding, tried, ended, cured in rows
    ]
