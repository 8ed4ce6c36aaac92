"""What a runner says of its job's numbers, written and read again, on both databases."""

from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import func, select

from models import lifecycle
from models.claims import Claim
from models.database import Database
from models.diagnosis.finding import RULES_VERSION, Code, Diagnosis, Finding, Measured, Remedy, Severity
from models.findings import findings_of
from models.lifecycle import LeaseLost
from models.recording import record
from models.reports import Diagnosed, Ended, EpochEnded, Facts, Incident, Report, Resumed
from models.tables import Event, epochs
from models.tables import Finding as Row
from tests.factories import OWNER, a_claim, a_queued_job, expire_lease, row_of

NAN = float("nan")


def a_finding(code: Code, severity: Severity = Severity.FAULT, **changes: Any) -> Finding:
    measured = Measured("gain_per_layer", 0.14, threshold=0.6, expected=0.144, samples=43, p5=0.1, p95=NAN)
    patch = ({"op": "replace", "path": "/training/optimizer/learning_rate", "value": 0.01},)
    remedy = Remedy("slower", patch, "rho near 1")
    given = {"layers": (0, 2), "first_step": 3, "consequences": (Code.PLATEAU,), "remedies": (remedy,)}
    return Finding(code, severity, "It is so.", (measured,), **given | changes)


def a_diagnosis(*findings: Finding, skill: float | None = 0.1, complete: bool = False) -> Diagnosed:
    return Diagnosed(Diagnosis(findings, skill, complete, margins={"nonfinite": 2.0}))


def an_incident(step: int, **changes: Any) -> Incident:
    given: dict[str, Any] = {"place": "gradient", "layer": 1, "tensor": "layers.1.weight", "kind": "nan", "rows": [4]}
    return Incident(step, 0, **given | {"action": "stop"} | changes)


def tell(database: Database, mine: Claim, *reports: Report) -> None:
    with database.write() as connection:
        record(connection, mine, reports, 0.0)


def stored(database: Database, job: str) -> list[dict[str, Any]]:
    with database.read() as connection:
        return findings_of(connection, job)


def found_events(database: Database, job: str) -> list[Any]:
    with database.read() as connection:
        query = select(Event.data).where(Event.job_id == job, Event.type == "job.finding").order_by(Event.id)
        return list(connection.scalars(query))


def test_a_diagnosis_is_read_as_it_was_said(database: Database) -> None:
    job = a_queued_job(database)
    finding = a_finding(Code.VANISHING_DEPTH)
    tell(database, a_claim(database), a_diagnosis(finding, skill=NAN))
    [found] = stored(database, job)
    assert (found["code"], found["severity"], found["layers"]) == ("vanishing_depth", "fault", [0, 2])
    assert (found["first_step"], found["consequences"]) == (3, ["plateau"])
    assert found["evidence"][0]["value"] == 0.14
    assert found["evidence"][0]["p95"] is None
    assert found["remedies"][0]["id"] == "slower"
    row = row_of(database, job)
    assert row.verdict == "unhealthy"
    names = {"complete": False, "verdict": "unhealthy", "skill": None, "rules_version": RULES_VERSION, "judged": True}
    assert row.diagnosis == names | {"margins": {"nonfinite": 2.0}}


def test_a_diagnosis_takes_the_place_of_the_one_before(database: Database) -> None:
    job = a_queued_job(database)
    mine = a_claim(database)
    both = a_finding(Code.SATURATED), a_finding(Code.SLOW, Severity.WARNING)
    tell(database, mine, a_diagnosis(*both))
    tell(database, mine, a_diagnosis(both[1]))
    assert [found["code"] for found in stored(database, job)] == ["slow"]
    assert row_of(database, job).verdict == "warning"
    tell(database, mine, a_diagnosis())
    assert (stored(database, job), row_of(database, job).verdict) == ([], "healthy")


def test_the_version_rises_when_the_verdict_or_the_findings_change_and_else_not(database: Database) -> None:
    job = a_queued_job(database)
    mine = a_claim(database)
    fault, other = a_finding(Code.SATURATED), a_finding(Code.STALLED)
    versions = []
    for findings in ([fault], [fault], [fault, other], [fault, other], [other, fault], [], []):
        tell(database, mine, a_diagnosis(*findings))
        versions.append(row_of(database, job).version)
    assert [after - before for before, after in pairwise(versions)] == [0, 1, 0, 1, 1, 0]


def test_a_finding_is_told_once_when_it_first_appears(database: Database) -> None:
    job = a_queued_job(database)
    mine = a_claim(database)
    fault, other = a_finding(Code.SATURATED), a_finding(Code.SLOW, Severity.WARNING, first_step=None, layers=())
    tell(database, mine, a_diagnosis(fault), a_diagnosis(other))
    tell(database, mine, a_diagnosis())
    tell(database, mine, a_diagnosis(other, fault))
    assert found_events(database, job) == [
        {"code": "saturated", "severity": "fault", "first_step": 3, "layers": [0, 2]},
        {"code": "slow", "severity": "warning", "first_step": None, "layers": []},
    ]


RISES = {
    "apart": ([Severity.WARNING], [Severity.FAULT]),
    "in one batch": ([Severity.WARNING, Severity.FAULT],),
    "after it was gone": ([Severity.WARNING], [None], [Severity.FAULT]),
    "and falls, and rises again": ([Severity.WARNING], [Severity.FAULT, Severity.WARNING], [None], [Severity.FAULT]),
}


@pytest.mark.parametrize("name", RISES)
def test_a_warning_that_becomes_a_fault_is_told_once_more(database: Database, name: str) -> None:
    job = a_queued_job(database)
    mine = a_claim(database)
    for batch in RISES[name]:
        said = [[a_finding(Code.SATURATED, severity)] if severity else [] for severity in batch]
        tell(database, mine, *(a_diagnosis(*findings) for findings in said))
    assert [event["severity"] for event in found_events(database, job)] == ["warning", "fault"]


def test_a_fault_that_becomes_a_warning_is_not_told(database: Database) -> None:
    job = a_queued_job(database)
    mine = a_claim(database)
    for severity in (Severity.FAULT, Severity.WARNING):
        tell(database, mine, a_diagnosis(a_finding(Code.SATURATED, severity)))
    assert [event["severity"] for event in found_events(database, job)] == ["fault"]


def test_one_finding_is_kept_of_each_code(database: Database) -> None:
    job = a_queued_job(database)
    twice = a_finding(Code.SATURATED), a_finding(Code.SATURATED, layers=(7,)), a_finding(Code.SLOW)
    tell(database, a_claim(database), a_diagnosis(*twice))
    assert [(found["code"], found["layers"]) for found in stored(database, job)] == [
        ("saturated", [0, 2]),
        ("slow", [0, 2]),
    ]


def test_facts_are_added_up_and_the_first_incident_counts(database: Database) -> None:
    job = a_queued_job(database)
    mine = a_claim(database)
    tell(database, mine, Facts({"rows": 10, "input_rms": 2.0}), Facts({"input_rms": NAN}), an_incident(5))
    tell(database, mine, Facts({"target_rms": 1.5}), an_incident(9))
    row = row_of(database, job)
    assert row.facts == {"rows": 10, "input_rms": None, "target_rms": 1.5}
    assert row.incident == vars(an_incident(5))


def test_of_the_first_incident_what_is_told_last_counts(database: Database) -> None:
    job = a_queued_job(database)
    mine = a_claim(database)
    tell(database, mine, an_incident(5, action="continue"), an_incident(9))
    tell(database, mine, an_incident(5, action="continue", count=3), an_incident(5, count=4))
    assert row_of(database, job).incident == vars(an_incident(5, count=4))


def test_the_steps_at_the_end_of_each_epoch_are_kept(database: Database) -> None:
    a_queued_job(database)
    tell(database, a_claim(database), *(EpochEnded(n, 7 * n, {"train_loss": 1.0}, True, 0.1) for n in (1, 2)))
    with database.read() as connection:
        assert list(connection.scalars(select(epochs.c.step).order_by(epochs.c.epoch))) == [7, 14]


@pytest.mark.parametrize(("step", "kept"), [(0, False), (5, False), (6, True)])
def test_an_attempt_that_goes_on_keeps_what_was_said_of_the_steps_before(
    database: Database, step: int, kept: bool
) -> None:
    job = a_queued_job(database)
    tell(database, a_claim(database), Facts({"rows": 10}), an_incident(5), a_diagnosis(a_finding(Code.NONFINITE)))
    expire_lease(database, job)
    with database.write() as connection:
        lifecycle.sweep(connection, 3)
    again = a_claim(database)
    version = row_of(database, job).version
    tell(database, again, Resumed(step, 0, None, None))
    row = row_of(database, job)
    assert (row.incident is not None) == kept
    assert (row.facts, row.verdict) == ((None, "unknown") if step == 0 else ({"rows": 10}, "unhealthy"))
    assert (row.diagnosis is None, stored(database, job) == []) == (step == 0, step == 0)
    assert row.version == version + (step == 0)
    tell(database, again, a_diagnosis(a_finding(Code.NONFINITE)))
    assert len(found_events(database, job)) == 1


def test_an_attempt_that_lost_its_job_says_nothing(database: Database) -> None:
    job = a_queued_job(database)
    lost = a_claim(database)
    expire_lease(database, job)
    with database.write() as connection:
        lifecycle.sweep(connection, 3)
    a_claim(database)
    with pytest.raises(LeaseLost):
        tell(database, lost, Facts({"rows": 1}), a_diagnosis(a_finding(Code.SATURATED)))
    row = row_of(database, job)
    assert (row.facts, row.verdict, stored(database, job)) == (None, "unknown", [])


def test_a_batch_that_is_written_again_changes_nothing(database: Database) -> None:
    job = a_queued_job(database)
    mine = a_claim(database)
    for _ in range(2):
        with database.write() as connection:
            record(connection, mine, [a_diagnosis(a_finding(Code.SATURATED))], 0.0, batch=1)
    assert len(found_events(database, job)) == len(stored(database, job)) == 1


def test_a_job_that_a_policy_stops_keeps_its_findings_and_they_go_with_it(database: Database) -> None:
    job = a_queued_job(database)
    error = {"code": "nonfinite", "title": "", "detail": "", "class": "numeric", "retryable": False}
    said = a_diagnosis(a_finding(Code.NONFINITE), complete=True)
    tell(database, a_claim(database), an_incident(5), said, Ended("failed", {}, 0.0, error))
    row = row_of(database, job)
    assert (row.status, row.verdict, row.diagnosis["complete"]) == ("failed", "unhealthy", True)
    with database.read() as connection:
        types = list(connection.scalars(select(Event.type).where(Event.job_id == job).order_by(Event.id)))
    assert types == ["job.queued", "job.started", "job.finding", "job.failed"]
    with database.write() as connection:
        lifecycle.remove(connection, job, OWNER)
        assert connection.scalar(select(func.count()).select_from(Row)) == 0
