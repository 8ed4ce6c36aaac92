"""What a repair is to cure, and what came of it.

A repair carries what it needs to know of its parent, which may be gone when it ends.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select, update

from models.diagnosis.finding import Severity
from models.states import Status
from models.tables import Finding, Job

SKILLS = ("validation_skill", "skill")
"""What a repair is measured by: the first that it and its parent have."""
CHANCE = 0.02
"""Of skill, that the results of two healthy trainings differ by: one that lost no more is no worse."""
JUDGED = ("numeric", "memory", "user", "data")
"""Classes of errors that a remedy may be to blame for."""
OUTCOME = (Job.status, Job.diagnosis, Job.error, Job.best, Job.repair)


def repair_of(parent: Any, findings: Sequence[Mapping[str, Any]], finding: str, remedy: str) -> dict[str, Any]:
    """`jobs.repair` of a new repair. `parent` has `id best`, and these `findings`."""
    before = {name: _value(parent, name) for name in SKILLS}
    told = [{"code": found["code"], "severity": found["severity"]} for found in findings]
    return {"of": parent.id, "remedy": remedy, "finding": finding, "parent": {"findings": told} | before}


def shown(repair: dict[str, Any]) -> dict[str, Any]:
    """As the API shows it: without what is kept of the parent until the repair has ended."""
    return {name: value for name, value in repair.items() if name != "parent"}


def outcome(child: Any, status: str, error: Mapping[str, Any] | None, found: Mapping[str, str]) -> dict[str, Any]:
    """`jobs.repair` of a repair that ends like this; `found` are its findings with their severities.

    It is cured when it succeeded without any fault, what the remedy was for is not even a warning, and the result is no
    worse than its parent's. One that was cancelled, or that infrastructure failed, says nothing of its remedy.
    """
    said = shown(child.repair)
    is_judged = status == Status.SUCCEEDED or (status == Status.FAILED and (error or {}).get("class") in JUDGED)
    if not is_judged or child.diagnosis is None:
        return said
    before: list[dict[str, str]] = child.repair["parent"]["findings"]
    gone = [{"code": finding["code"], "gone": finding["code"] not in found} for finding in before]
    metric = _change(child.repair["parent"], child)
    is_well = status == Status.SUCCEEDED and child.diagnosis["judged"] and Severity.FAULT not in found.values()
    cured = is_well and said["finding"] not in found and gained(metric) >= -CHANCE
    return said | {"findings": gone, "metric": metric, "cured": cured}


def is_improved(metric: Mapping[str, Any] | None) -> bool:
    return gained(metric) > 0


def gained(metric: Mapping[str, Any] | None) -> float:
    """By a repair. Whatever it comes to is more than nothing, and nothing is less than all."""
    if metric is None or metric["after"] is None:
        return -math.inf
    return math.inf if metric["before"] is None else float(metric["after"] - metric["before"])


def _change(before: Mapping[str, Any], child: Any) -> dict[str, Any] | None:
    changes = [{"name": name, "before": before[name], "after": _value(child, name)} for name in SKILLS]
    measured = [change for change in changes if None not in change.values()]
    partly = [change for change in changes if change["before"] is not None or change["after"] is not None]
    return next(iter(measured + partly), None)


def _value(job: Any, name: str) -> float | None:
    """Of the best epoch, whose weights are the result."""
    return (job.best or {}).get(name)


def found_of(connection: Connection, job_id: str) -> dict[str, str]:
    """The findings of a job, with their severities."""
    query = select(Finding.code, Finding.severity).where(Finding.job_id == job_id).order_by(Finding.place)
    return {row.code: row.severity for row in connection.execute(query)}


def settle(connection: Connection, job_id: str, parent: str | None) -> None:
    """A repair has ended: says what came of it, and lets its parent show it."""
    child = connection.execute(select(*OUTCOME).where(Job.id == job_id)).one()
    if child.repair is not None:
        said = outcome(child, child.status, child.error, found_of(connection, job_id))
        connection.execute(update(Job).where(Job.id == job_id).values(repair=said, cured=said.get("cured")))
    touch(connection, parent)


def touch(connection: Connection, job_id: str | None) -> None:
    """Something that a job shows of its repairs has changed."""
    if job_id is not None:
        connection.execute(update(Job).where(Job.id == job_id).values(version=Job.version + 1))
