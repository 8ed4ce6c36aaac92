"""Repairs that come by themselves, and what came of each; on both databases."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, update

from models import lifecycle, repairs
from models.claims import Claim
from models.database import Database
from models.diagnosis.finding import Code, Finding, Remedy, Severity
from models.recording import record
from models.repairs import Limits
from models.reports import Diagnosed, Ended, EpochEnded, Report
from models.tables import Event, Job
from tests.factories import OWNER, a_claim, a_queued_job, expire_lease, row_of
from tests.models.test_findings import a_diagnosis, a_finding

NUMERIC = {"code": "nonfinite", "title": "", "detail": "", "class": "numeric", "retryable": False}
RATE = "/training/optimizer/learning_rate"


def remedy(name: str, value: Any = 0.01, path: str = RATE) -> Remedy:
    return Remedy(name, ({"op": "replace", "path": path, "value": value},), "")


def fault(code: Code, *remedies: Remedy) -> Finding:
    return a_finding(code, remedies=remedies)


SICK = fault(Code.SATURATED, remedy("first"), remedy("second", 0.02))
OTHER = fault(Code.STALLED, remedy("third", 0.03))
MILD = a_finding(Code.SATURATED, Severity.WARNING)
WARNING = a_finding(Code.SLOW, Severity.WARNING, remedies=(remedy("fourth", 0.04),))


def ended(skill: float | None, *findings: Finding, error: Any = None) -> list[Report]:
    metrics: dict[str, float | None] = {"validation_skill": skill, "skill": 0.5}
    epoch = EpochEnded(1, 3, metrics, True, 0.1)
    said = a_diagnosis(*findings, skill=skill, complete=True)
    return [epoch, said, Ended("failed" if error else "succeeded", {}, 0.0, error)]


def tell(database: Database, mine: Claim, reports: list[Report], **limits: int) -> None:
    with database.write() as connection:
        record(connection, mine, reports, 0.0, limits=Limits(**limits))


def end_next(database: Database, skill: float | None, *findings: Finding, **changes: Any) -> str:
    """Of the job that is next in the queue."""
    mine = a_claim(database)
    tell(database, mine, ended(skill, *findings, **changes))
    return mine.job_id


def child_of(database: Database, job: str) -> Any:
    with database.read() as connection:
        return connection.execute(select(Job.__table__).where(Job.parent == job)).one_or_none()


def told(database: Database, job: str) -> list[Any]:
    with database.read() as connection:
        query = select(Event.data).where(Event.job_id == job, Event.type == "job.repair").order_by(Event.id)
        return list(connection.scalars(query))


def a_sick_job(database: Database, max_jobs: int = 3, skill: float | None = 0.1, **changes: Any) -> str:
    """That has ended with SICK, and so has a repair that waits."""
    job = a_queued_job(database, repair={"max_jobs": max_jobs}, name="sick", tags=["t"], priority=2)
    assert end_next(database, skill, SICK, **changes) == job
    return job


@pytest.mark.parametrize("error", [None, NUMERIC])
def test_a_job_that_ends_with_a_fault_queues_its_repair(database: Database, error: Any) -> None:
    job = a_sick_job(database, error=error)
    child = child_of(database, job)
    assert (child.status, child.origin, child.owner) == ("queued", "repair", OWNER)
    assert (child.name, child.tags, child.priority) == ("sick", ["t"], 2)
    assert (child.remedy, child.remedied, child.cured) == ("first", "saturated", None)
    assert child.definition["training"]["optimizer"]["learning_rate"] == 0.01
    assert child.definition["repair"] == {"max_jobs": 2}
    assert told(database, job) == [{"remedy": "first", "finding": "saturated", "job": child.id}]
    with database.read() as connection:
        types = list(connection.scalars(select(Event.type).where(Event.job_id == job).order_by(Event.id)))
    assert types[-1] == ("job.failed" if error else "job.succeeded")


def test_the_chain_is_bounded_and_tries_no_useless_remedy_twice(database: Database) -> None:
    job = a_sick_job(database)
    seen = []
    while (child := child_of(database, job)) is not None:
        seen.append((child.remedy, child.definition["repair"]))
        job = end_next(database, 0.1, SICK, OTHER)
        assert job == child.id
        assert row_of(database, job).cured is False
    assert seen == [("first", {"max_jobs": 2}), ("second", {"max_jobs": 1}), ("third", None)]
    assert told(database, job) == []


def test_a_remedy_that_helped_may_be_tried_again(database: Database) -> None:
    job = a_sick_job(database)
    again = fault(Code.SATURATED, remedy("first", 0.002), remedy("second", 0.02))
    child = end_next(database, 0.3, again)
    assert row_of(database, child).repair["metric"] == {"name": "validation_skill", "before": 0.1, "after": 0.3}
    assert child_of(database, child).remedy == "first"
    assert child_of(database, job).id == child


def test_a_budget_is_multiplied_once_in_a_chain_though_it_helped(database: Database) -> None:
    mine = a_queued_job(database, repair={"max_jobs": 3})
    seen = []
    for skill in (0.1, 0.2, 0.3):
        slow = fault(Code.SLOW, remedy("more_epochs", 0.1 * skill), remedy("second", 0.3 * skill))
        seen.append(end_next(database, skill, slow))
    assert seen[0] == mine
    assert [row_of(database, job).remedy for job in seen] == [None, "more_epochs", "second"]
    assert child_of(database, seen[2]).remedy == "second"


def test_when_every_remedy_was_tried_the_history_says_so(database: Database) -> None:
    a_sick_job(database)
    end_next(database, 0.1, SICK)
    last = end_next(database, 0.1, SICK)
    assert child_of(database, last) is None
    assert told(database, last) == [{"skipped": "no_remedy"}]


@pytest.mark.parametrize("findings", [(), (WARNING,)])
def test_a_child_without_a_fault_ends_the_chain(database: Database, findings: tuple[Finding, ...]) -> None:
    job = a_sick_job(database)
    child = end_next(database, 0.9, *findings)
    assert (child_of(database, child), told(database, child)) == (None, [])
    row = row_of(database, child)
    assert row.repair == {
        "of": job,
        "remedy": "first",
        "finding": "saturated",
        "findings": [{"code": "saturated", "gone": True}],
        "metric": {"name": "validation_skill", "before": 0.1, "after": 0.9},
        "cured": True,
    }
    assert row.cured is True


OUTCOMES = {
    "gone and better": ((0.5, ()), True),
    "gone and better, with another warning": ((0.5, (WARNING,)), True),
    "gone and the same, as of a job that stops before it learns by heart": ((0.4, ()), True),
    "gone and the same but for chance": ((0.39, ()), True),
    "gone and worse": ((0.3, ()), False),
    "still there": ((0.9, (SICK,)), False),
    "a warning still": ((0.9, (MILD,)), False),
    "another fault instead": ((0.9, (OTHER,)), False),
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_a_repair_is_cured_when_the_cause_is_gone_no_fault_is_left_and_the_result_is_no_worse(
    database: Database, name: str
) -> None:
    (skill, findings), cured = OUTCOMES[name]
    a_sick_job(database, max_jobs=1, skill=0.4)
    assert row_of(database, end_next(database, skill, *findings)).cured is cured


def test_a_repair_is_not_cured_while_another_fault_of_its_parent_is_left(database: Database) -> None:
    a_queued_job(database, repair={"max_jobs": 1})
    end_next(database, 0.1, SICK, OTHER)
    row = row_of(database, end_next(database, 0.9, OTHER))
    assert [(finding["code"], finding["gone"]) for finding in row.repair["findings"]] == [
        ("saturated", True),
        ("stalled", False),
    ]
    assert row.cured is False


def test_a_repair_without_a_number_is_not_cured(database: Database) -> None:
    a_sick_job(database, max_jobs=1)
    mine = a_claim(database)
    tell(database, mine, [a_diagnosis(WARNING, complete=True), Ended("succeeded", {}, 0.0, None)])
    row = row_of(database, mine.job_id)
    assert (row.repair["metric"]["after"], row.cured) == (None, False)


def test_a_repair_of_which_too_little_was_seen_is_not_cured(database: Database) -> None:
    """It has no fault, and nothing says that it is well."""
    a_sick_job(database, max_jobs=1)
    mine = a_claim(database)
    epoch, said, end = ended(0.9)
    unjudged = Diagnosed(replace(said.diagnosis, judged=False))
    tell(database, mine, [epoch, unjudged, end])
    row = row_of(database, mine.job_id)
    assert (row.verdict, row.cured) == ("unknown", False)


def test_a_repair_that_failed_is_not_cured_though_nothing_was_found(database: Database) -> None:
    a_sick_job(database, max_jobs=1)
    assert row_of(database, end_next(database, 0.9, error=NUMERIC)).cured is False


def test_what_counts_are_the_weights_that_are_kept_and_not_those_of_the_end(database: Database) -> None:
    """Over-fitting: the parent's best epoch was as good as that of the child, which only stopped in time."""
    a_queued_job(database, repair={"max_jobs": 1})
    best, *end = ended(0.8, SICK)
    last = EpochEnded(2, 6, {"validation_skill": 0.1, "skill": 1.0}, False, 0.1)
    tell(database, a_claim(database), [best, last, *end])
    row = row_of(database, end_next(database, 0.8))
    assert row.repair["metric"] == {"name": "validation_skill", "before": 0.8, "after": 0.8}
    assert row.cured is True


def test_a_parent_without_a_number_is_bettered_by_any(database: Database) -> None:
    job = a_queued_job(database, repair={"max_jobs": 1})
    said = a_diagnosis(SICK, complete=True)
    tell(database, a_claim(database), [said, Ended("failed", {}, 0.0, NUMERIC)])
    row = row_of(database, end_next(database, 0.2, WARNING))
    assert row.repair["metric"] == {"name": "validation_skill", "before": None, "after": 0.2}
    assert (row.parent, row.cured) == (job, True)


def test_an_end_by_infrastructure_or_a_client_says_nothing_of_the_remedy(database: Database) -> None:
    child = child_of(database, a_sick_job(database)).id
    tell(database, a_claim(database), [a_diagnosis()])
    expire_lease(database, child)
    with database.write() as connection:
        assert lifecycle.sweep(connection, 1) == ["failed"]
    other = child_of(database, a_sick_job(database)).id
    with database.write() as connection:
        lifecycle.cancel(connection, other, OWNER, "graceful")
    for job in (child, other):
        row = row_of(database, job)
        assert (row.cured, set(row.repair)) == (None, {"of", "remedy", "finding"})
        assert child_of(database, job) is None


@pytest.mark.parametrize("how", ["made", "ended", "cancelled", "deleted"])
def test_the_version_of_the_parent_rises_with_its_repair(database: Database, how: str) -> None:
    job = a_sick_job(database)
    child = child_of(database, job).id
    before = row_of(database, job).version
    if how == "made":
        assert before >= 3
        return
    if how == "ended":
        end_next(database, 0.5)
    with database.write() as connection:
        if how != "ended":
            lifecycle.cancel(connection, child, OWNER, "graceful")
        if how == "deleted":
            before += 1
            lifecycle.remove(connection, child, OWNER)
    assert row_of(database, job).version == before + 1


def test_a_cancelled_job_is_not_repaired_though_it_ended_first(database: Database) -> None:
    job = a_queued_job(database, repair={"max_jobs": 3})
    mine = a_claim(database)
    with database.write() as connection:
        lifecycle.cancel(connection, job, OWNER, "graceful")
    tell(database, mine, ended(0.1, SICK))
    assert (row_of(database, job).status, child_of(database, job)) == ("succeeded", None)


def test_a_job_that_was_not_to_be_repaired_or_failed_otherwise_is_not(database: Database) -> None:
    a_queued_job(database)
    assert child_of(database, end_next(database, 0.1, SICK)) is None
    a_queued_job(database, repair={"max_jobs": 1})
    assert child_of(database, end_next(database, 0.1, SICK, error=NUMERIC | {"class": "user"})) is None
    a_queued_job(database, repair={"max_jobs": 1})
    assert child_of(database, end_next(database, 0.1, WARNING)) is None


def test_a_full_queue_is_told_and_fails_nothing(database: Database) -> None:
    job = a_queued_job(database, repair={"max_jobs": 1})
    mine = a_claim(database)
    a_queued_job(database)
    tell(database, mine, ended(0.1, SICK), queued_jobs=1)
    assert (row_of(database, job).status, child_of(database, job)) == ("succeeded", None)
    assert told(database, job) == [{"remedy": "first", "finding": "saturated", "skipped": "queue_full"}]


def test_a_remedy_that_does_not_apply_or_changes_nothing_is_passed_over(database: Database) -> None:
    job = a_queued_job(database, repair={"max_jobs": 1})
    rate = row_of(database, job).definition["training"]["optimizer"]["learning_rate"]
    wrong = remedy("nowhere", path="/network/there/is/none"), remedy("untrainable", -1), remedy("same", rate)
    end_next(database, 0.1, fault(Code.SATURATED, *wrong), OTHER)
    assert child_of(database, job).remedy == "third"
    another = a_queued_job(database, repair={"max_jobs": 1})
    with database.write() as connection:
        connection.execute(update(Job).where(Job.remedy == "third").values(status="paused"))
    end_next(database, 0.1, fault(Code.SATURATED, wrong[0]))
    assert child_of(database, another) is None
    [event] = told(database, another)
    assert (event["remedy"], event["skipped"]) == ("nowhere", "not_applicable")


def test_a_remedy_that_breaks_fails_no_job(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*given: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(repairs, "admit_repair", broken)
    job = a_queued_job(database, repair={"max_jobs": 1})
    end_next(database, 0.1, SICK)
    assert (row_of(database, job).status, child_of(database, job)) == ("succeeded", None)
    assert told(database, job)[0]["skipped"] == "not_applicable"


def test_a_batch_that_is_written_again_queues_no_second_repair(database: Database) -> None:
    job = a_queued_job(database, repair={"max_jobs": 1})
    mine = a_claim(database)
    for _ in range(2):
        with database.write() as connection:
            record(connection, mine, ended(0.1, SICK), 0.0, batch=1)
    assert child_of(database, job) is not None
