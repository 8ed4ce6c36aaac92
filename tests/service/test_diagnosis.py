"""What a job's numbers say, as a client reads it; on both databases."""

from typing import Any

import numpy as np
import pytest
from sqlalchemy import update

from models import diagnosed
from models.diagnosis.evidence import Evidence
from models.diagnosis.finding import RULES_VERSION, Code, Diagnosis, Severity
from models.lifecycle import error
from models.recording import record
from models.reports import Ended, EpochEnded, Report, Sampled
from models.series import Chunk
from models.tables import Finding, Job
from service.replies import DiagnosisReply, FlightReply
from tests.models.test_findings import a_diagnosis, a_finding, an_incident
from tests.service.conftest import Api
from tests.service.test_moves import run

FAULT = a_finding(Code.SATURATED)
WARNING = a_finding(Code.SLOW, Severity.WARNING)


def tell(api: Api, *reports: Report) -> str:
    """A new job that reports this."""
    job: str = api.post().json["id"]
    mine = run(api)
    with api.database.write() as connection:
        record(connection, mine, reports, 0.0)
    return job


def ended(outcome: str = "succeeded", **changes: Any) -> Ended:
    return Ended(outcome, {}, 0.0, **changes)


def test_a_running_job_shows_what_is_known_so_far(api: Api) -> None:
    job = tell(api, a_diagnosis(FAULT, WARNING, skill=float("nan")))
    reply = api.get(f"/{job}/diagnosis")
    assert reply.status_code == 200
    DiagnosisReply.model_validate(reply.json)
    found = reply.json
    assert (found["job"], found["complete"], found["verdict"], found["skill"]) == (job, False, "unhealthy", None)
    assert (found["rules_version"], found["margins"]) == (RULES_VERSION, {"nonfinite": 2.0})
    assert [(finding["code"], finding["severity"]) for finding in found["findings"]] == [
        ("saturated", "fault"),
        ("slow", "warning"),
    ]
    assert "incident" not in found
    assert "repair" not in found
    shown = api.get(f"/{job}").json
    assert (shown["verdict"], shown["repairs"]) == ("unhealthy", [])
    assert shown["findings"] == [{"code": "saturated", "severity": "fault"}, {"code": "slow", "severity": "warning"}]
    assert shown["links"]["diagnosis"] == f"/v1/jobs/{job}/diagnosis"


def test_an_incident_is_shown(api: Api) -> None:
    job = tell(api, an_incident(5), a_diagnosis(a_finding(Code.NONFINITE)))
    reply = api.get(f"/{job}/diagnosis")
    DiagnosisReply.model_validate(reply.json)
    assert reply.json["incident"] == vars(an_incident(5))


def test_a_job_that_waits_has_nothing_said_of_it(api: Api) -> None:
    reply = api.get(f"/{api.post().json['id']}/diagnosis")
    DiagnosisReply.model_validate(reply.json)
    assert (reply.json["verdict"], reply.json["complete"], reply.json["findings"]) == ("unknown", False, [])
    assert reply.headers["Retry-After"]


def test_it_has_the_etag_of_the_job_and_is_answered_from_memory_once_it_has_ended(api: Api) -> None:
    job = tell(api, a_diagnosis(FAULT, complete=True), ended())
    first = api.get(f"/{job}/diagnosis")
    assert first.headers["ETag"] == api.get(f"/{job}").headers["ETag"]
    assert "Retry-After" not in first.headers
    assert api.get(f"/{job}/diagnosis", If_None_Match=first.headers["ETag"]).status_code == 304
    again = api.get(f"/{job}/diagnosis")
    assert (again.data, len(api.statements)) == (first.data, 1)
    with api.database.write() as connection:
        connection.execute(update(Job).where(Job.id == job).values(version=Job.version + 1))
    assert api.get(f"/{job}/diagnosis", If_None_Match=first.headers["ETag"]).status_code == 200
    assert f"{job}/diagnosis" in api.client.application.extensions["descent"].ended
    assert api.delete(job).status_code == 204
    assert f"{job}/diagnosis" not in api.client.application.extensions["descent"].ended
    assert api.get(f"/{job}/diagnosis").status_code == 404


NUMBERS = EpochEnded(1, 3, {"skill": 0.9, "validation_loss": 0.1}, True, 0.1)
OLD = {"complete": True, "verdict": "warning", "skill": 0.4, "rules_version": "0", "margins": {}, "judged": True}


ERROR = error("nonfinite", "A number was not finite", "It was not.", "numeric", retryable=False)


def by_skill(evidence: Evidence) -> Diagnosis:
    """A rule for tests: whatever was learned is healthy."""
    return Diagnosis((), float(evidence.epochs["skill"][-1]), evidence.complete)


@pytest.mark.parametrize("stored", [None, OLD, OLD | {"complete": False, "rules_version": RULES_VERSION}])
def test_stored_numbers_are_judged_where_no_verdict_by_these_rules_is_stored(
    api: Api, monkeypatch: pytest.MonkeyPatch, stored: Any
) -> None:
    monkeypatch.setattr(diagnosed, "diagnose", by_skill)
    job = tell(api, NUMBERS, a_diagnosis(FAULT), ended())
    with api.database.write() as connection:
        connection.execute(update(Job).where(Job.id == job).values(diagnosis=stored))
    found = api.get(f"/{job}/diagnosis").json
    assert (found["complete"], found["rules_version"], found["skill"]) == (True, RULES_VERSION, 0.9)
    assert (found["verdict"], found["findings"]) == ("healthy", [])


def test_a_diagnosis_of_the_rules_of_today_stands(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosed, "diagnose", by_skill)
    job = tell(api, NUMBERS, a_diagnosis(FAULT, complete=True), ended())
    assert api.get(f"/{job}/diagnosis").json["verdict"] == "unhealthy"


def test_the_rules_of_today_judge_whatever_was_stored(api: Api) -> None:
    job = tell(api, NUMBERS, ended())
    reply = api.get(f"/{job}/diagnosis")
    assert (reply.status_code, reply.json["complete"]) == (200, True)
    DiagnosisReply.model_validate(reply.json)
    assert api.ask(job, "repairs").status_code in (202, 409)


def test_a_definition_that_is_not_understood_any_more_keeps_its_old_diagnosis(api: Api) -> None:
    job = tell(api, NUMBERS, a_diagnosis(FAULT), ended())
    definition = api.get(f"/{job}").json["definition"] | {"gone": 1}
    with api.database.write() as connection:
        connection.execute(update(Job).where(Job.id == job).values(diagnosis=OLD, definition=definition))
    found = api.get(f"/{job}/diagnosis").json
    assert (found["rules_version"], found["verdict"], len(found["findings"])) == ("0", "warning", 1)
    with api.database.write() as connection:
        connection.execute(update(Job).where(Job.id == job).values(diagnosis=None, version=Job.version + 1))
    found = api.get(f"/{job}/diagnosis").json
    assert (found["complete"], found["verdict"], found["findings"]) == (True, "unknown", [])


def test_rules_that_fail_leave_what_was_said_before_or_nothing(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(evidence: Evidence) -> Diagnosis:
        raise ZeroDivisionError

    monkeypatch.setattr(diagnosed, "diagnose", broken)
    job = tell(api, NUMBERS, ended())
    reply = api.get(f"/{job}/diagnosis")
    assert (reply.status_code, reply.json["verdict"], reply.json["complete"]) == (200, "unknown", True)
    assert api.ask(job, "repairs").json["code"] == "no_remedy"
    other = tell(api, NUMBERS, a_diagnosis(FAULT), ended())
    with api.database.write() as connection:
        connection.execute(update(Job).where(Job.id == other).values(diagnosis=OLD))
    found = api.get(f"/{other}/diagnosis").json
    assert (found["rules_version"], found["verdict"], len(found["findings"])) == ("0", "warning", 1)
    assert "could not be diagnosed" in caplog.text


def test_the_last_steps_before_a_fault_are_read_as_columns(api: Api) -> None:
    assert api.get(f"/{tell(api, ended())}/gradients/flight").json == {
        "step": [], "loss": [], "gradient_norm": [], "applied": [], "nonfinite": {},
    }  # fmt: skip
    values = np.array([[0.5, 2.0, 0.0], [np.inf, np.nan, 1.0]], np.float32)[:, :, None]
    chunk = Chunk(np.array([7, 8]), values).encode()
    reply = api.get(f"/{tell(api, Sampled(7, 8, 2, chunk, 'flight'), ended('failed', error=ERROR))}/gradients/flight")
    FlightReply.model_validate(reply.json)
    assert reply.json == {
        "step": [7, 8],
        "loss": [0.5, None],
        "gradient_norm": [2.0, None],
        "applied": [True, False],
        "nonfinite": {"loss": [[8, "+inf"]], "gradient_norm": [[8, "nan"]]},
    }
    assert api.get(f"/job_{'0' * 26}/gradients/flight").status_code == 404


def test_a_job_that_never_ran_is_not_judged(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosed, "diagnose", None)
    job = api.post().json["id"]
    api.ask(job, "cancel")
    assert api.get(f"/{job}/diagnosis").json["verdict"] == "unknown"


def test_the_diagnosis_of_another_or_of_none_is_a_404(api: Api) -> None:
    job = tell(api, a_diagnosis(FAULT), ended())
    tag = api.get(f"/{job}/diagnosis").headers["ETag"]
    with api.database.write() as connection:
        connection.execute(update(Job).where(Job.id == job).values(owner="key_other"))
    assert api.get(f"/{job}/diagnosis").status_code == 404
    assert api.get(f"/{job}/diagnosis", If_None_Match=tag).status_code == 404
    for path in (f"/job_{'0' * 26}", "/job_1", "/%00", "/" + "x" * 5000):
        assert api.get(f"{path}/diagnosis").status_code == 404
    assert api.get(f"/{job}/diagnosis?x=1").status_code == 422


def test_lists_are_filtered_before_paging(api: Api) -> None:
    faulty = [tell(api, a_diagnosis(FAULT, WARNING), ended()) for _ in range(3)]
    slow = tell(api, a_diagnosis(WARNING), ended("failed", error={"code": "x", "class": "user", "title": ""}))
    waiting = api.post().json["id"]
    clone = api.ask(slow, "clones", {"patch": []}).json["id"]

    def listed(query: str) -> list[str]:
        return [item["id"] for item in api.get(f"?{query}").json["items"]]

    assert listed("verdict=unhealthy") == faulty[::-1]
    assert listed("verdict=warning") == [slow]
    assert listed("verdict=unknown") == [clone, waiting]
    assert listed("finding=saturated") == faulty[::-1]
    assert listed("finding=slow") == [slow, *faulty[::-1]]
    assert listed("finding=slow&status=failed") == [slow]
    assert listed("finding=slow&verdict=warning") == [slow]
    assert listed("finding=plateau") == listed(f"parent={waiting}") == listed(f"parent=job_{'0' * 26}") == []
    assert listed(f"parent={slow}") == [clone]
    pages, after = [], ""
    while True:
        page = api.get(f"?finding=slow&limit=1{after}").json
        pages += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert pages == [slow, *faulty[::-1]]
    with api.database.write() as connection:
        connection.execute(update(Job).values(owner="key_other"))


@pytest.mark.parametrize("query", ["verdict=ill", "finding=cold", "parent=job_1", "finding=", "parent=%00", "verdict="])
def test_an_unknown_value_of_a_filter_is_refused_with_its_name(api: Api, query: str) -> None:
    reply = api.get(f"?{query}")
    assert (reply.status_code, reply.json["code"]) == (422, "invalid_parameter")
    assert reply.json["errors"][0]["pointer"] == f"/{query.partition('=')[0]}"


def test_findings_of_others_are_not_found(api: Api) -> None:
    job = tell(api, a_diagnosis(FAULT), ended())
    with api.database.write() as connection:
        for column, key in ((Job.owner, Job.id), (Finding.owner, Finding.job_id)):
            connection.execute(update(column.class_).where(key == job).values(owner="key_other"))
    assert api.get("?finding=saturated").json["items"] == []


def test_a_page_with_findings_takes_as_many_statements_as_one_job(api: Api) -> None:
    for _ in range(5):
        tell(api, a_diagnosis(FAULT), ended())
    api.get("?limit=1")
    few = len(api.statements)
    api.get("?limit=5")
    assert len(api.statements) == few
