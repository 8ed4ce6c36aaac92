"""The diagnosis of a job as it stands: what its runner said last, or what the stored numbers say now."""

import logging
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select
from sqlalchemy.exc import SQLAlchemyError

from models.diagnosis.diagnose import diagnose
from models.diagnosis.finding import RULES_VERSION, Diagnosis, Severity
from models.errors import NotFound
from models.findings import findings_of
from models.states import TERMINAL
from models.stored_evidence import COLUMNS, evidence_of
from models.tables import Job

log = logging.getLogger(__name__)

SHOWN = ("complete", "verdict", "skill", "rules_version", "findings", "margins")
_diagnosed = select(*COLUMNS, Job.attempt, Job.version, Job.diagnosis, Job.repair)
NOTHING = Diagnosis((), None, complete=False, judged=False)


@dataclass(frozen=True)
class Diagnosed:
    """A job and what is said of it."""

    job: Row[Any]
    said: dict[str, Any]
    """SHOWN, in JSON types."""

    @property
    def faults_first(self) -> list[dict[str, Any]]:
        """Its findings, in order of precedence, faults before warnings."""
        findings: list[dict[str, Any]] = self.said["findings"]
        return sorted(findings, key=lambda finding: finding["severity"] != Severity.FAULT)


def diagnosed(connection: Connection, job_id: str, owner: str) -> Diagnosed:
    """The job, of which its runner's last words count, unless it has ended since, or other rules hold now.

    Raises:
        NotFound: there is no such job of this owner.
    """
    job = connection.execute(_diagnosed.where(Job.id == job_id, Job.owner == owner)).one_or_none()
    if job is None:
        raise NotFound(f"There is no job {job_id}.")
    has_ended = job.status in TERMINAL
    stands = job.diagnosis and (job.diagnosis["complete"] or not has_ended)
    if stands and (job.diagnosis["rules_version"] == RULES_VERSION or not has_ended):
        return Diagnosed(job, _stored(connection, job))
    if has_ended and job.attempt:
        try:
            return Diagnosed(job, _plain(diagnose(evidence_of(connection, job))))
        except SQLAlchemyError:
            raise
        except Exception:  # a definition or numbers that this version does not understand, or a rule that fails
            log.exception("%s could not be diagnosed from its stored numbers", job.id)
            if job.diagnosis:
                return Diagnosed(job, _stored(connection, job))
    return Diagnosed(job, _plain(NOTHING) | {"complete": has_ended})


def _stored(connection: Connection, job: Row[Any]) -> dict[str, Any]:
    found = job.diagnosis | {"findings": findings_of(connection, job.id)}
    return {name: found[name] for name in SHOWN}


def _plain(diagnosis: Diagnosis) -> dict[str, Any]:
    plain = diagnosis.plain()
    return {name: plain[name] for name in SHOWN}
