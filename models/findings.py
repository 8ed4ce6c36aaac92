"""What a job's numbers say, in the database: written as a runner reports it, read as it was said."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from models.claims import Claim
from models.definitions.callback import VERDICT
from models.diagnosis.finding import Diagnosis, Severity
from models.diagnosis.finding import Finding as FindingSaid
from models.history import emit
from models.outbox import tell
from models.reports import Diagnosed, Facts, Incident, Report, Resumed
from models.states import Verdict
from models.tables import Event, Finding, Job

FOUND = "job.finding"
NOTHING_YET = {"facts": None, "incident": None, "diagnosis": None, "verdict": Verdict.UNKNOWN}


def take_back(connection: Connection, claim: Claim, resumed: Resumed) -> None:
    """Forgets what was said of steps that will come again."""
    if resumed.step == 0:
        connection.execute(delete(Finding).where(Finding.job_id == claim.job_id))
        connection.execute(_of(claim).values(NOTHING_YET | {"version": Job.version + 1}))
        return
    incident = connection.scalar(select(Job.incident).where(Job.id == claim.job_id))
    if incident is not None and incident["step"] >= resumed.step:
        connection.execute(_of(claim).values(incident=None))


def record_findings(connection: Connection, claim: Claim, reports: Sequence[Report]) -> None:
    """Writes facts, what was told last of the first incident, and the last diagnosis with its findings in the place of
    those before. The attempt holds the job's row."""
    told = [report for report in reports if isinstance(report, Facts | Incident | Diagnosed)]
    if not told:
        return
    columns = Job.facts, Job.incident, Job.verdict, Job.owner
    before = connection.execute(select(*columns).where(Job.id == claim.job_id)).one()
    values: dict[str, Any] = {}
    first_step = before.incident and before.incident["step"]
    for report in told:
        match report:
            case Facts(values=facts):
                values["facts"] = (values.get("facts") or before.facts or {}) | facts
            case Incident(step=step) if first_step in (None, step):
                values["incident"], first_step = asdict(report), step
    diagnoses = [report.diagnosis for report in told if isinstance(report, Diagnosed)]
    if diagnoses:
        last = diagnoses[-1]
        values |= {"diagnosis": _without_findings(last), "verdict": last.verdict}
        if _replace(connection, claim, before.owner, diagnoses) or last.verdict != before.verdict:
            values["version"] = Job.version + 1
    if values:
        connection.execute(_of(claim).values(values))
    if diagnoses and diagnoses[-1].verdict != before.verdict:
        tell(connection, claim.job_id, [VERDICT])


def _of(claim: Claim) -> Any:
    return update(Job).where(Job.id == claim.job_id)


def _without_findings(diagnosis: Diagnosis) -> dict[str, Any]:
    names = ("complete", "verdict", "skill", "rules_version", "margins", "judged")
    plain = diagnosis.plain()
    return {name: plain[name] for name in names}


def _replace(connection: Connection, claim: Claim, owner: str, diagnoses: Sequence[Diagnosis]) -> bool:
    """Writes the findings of the last diagnosis, and tells of what is news in any; gives whether the codes or their
    severities are others than before."""
    query = select(Finding.code, Finding.severity).where(Finding.job_id == claim.job_id).order_by(Finding.place)
    before = [(row.code, row.severity) for row in connection.execute(query)]
    rows = finding_rows(claim.job_id, owner, diagnoses[-1])
    if before:
        connection.execute(delete(Finding).where(Finding.job_id == claim.job_id))
    if rows:
        connection.execute(insert(Finding), rows)
    _tell(connection, claim, diagnoses, dict(before))
    return before != [(row["code"], row["severity"]) for row in rows]


def finding_rows(job_id: str, owner: str, diagnosis: Diagnosis) -> list[dict[str, Any]]:
    """Rows of the table, one for each code: were there two, the first counts."""
    rows: dict[str, dict[str, Any]] = {}
    for finding in diagnosis.plain()["findings"]:
        code, severity = str(finding.pop("code")), str(finding.pop("severity"))
        row = {"job_id": job_id, "place": len(rows), "owner": owner, "code": code, "severity": severity}
        rows.setdefault(code, row | {"data": finding})
    return list(rows.values())


def _tell(connection: Connection, claim: Claim, diagnoses: Sequence[Diagnosis], known: dict[str, str]) -> None:
    """An event for each code at its first appearance in the job's life, and one when a warning becomes a fault.
    `known`: severities of the findings that stood before, by code."""
    said = [finding for diagnosis in diagnoses for finding in diagnosis.findings]
    if not any(_is_news(finding, known) for finding in said):
        return
    events = select(Event.data).where(Event.job_id == claim.job_id, Event.type == FOUND).order_by(Event.id)
    known = known | {data["code"]: data["severity"] for data in connection.scalars(events)}
    for finding in said:
        if _is_news(finding, known):
            known[finding.code] = finding.severity
            data = {"code": finding.code, "severity": finding.severity, "first_step": finding.first_step}
            emit(connection, claim.job_id, FOUND, claim.attempt, **data, layers=list(finding.layers))


def _is_news(finding: FindingSaid, known: dict[str, str]) -> bool:
    return known.get(finding.code) not in (Severity.FAULT, finding.severity)


def findings_of(connection: Connection, job_id: str) -> list[dict[str, Any]]:
    """The findings of the last diagnosis that was written, the cause first, as `Finding` has them in JSON."""
    columns = Finding.code, Finding.severity, Finding.data
    query = select(*columns).where(Finding.job_id == job_id).order_by(Finding.place)
    return [{"code": row.code, "severity": row.severity} | row.data for row in connection.execute(query)]
