"""Repairs as a client asks for them, and what became of all that were tried; on both databases."""

import threading
from typing import Any

import pytest
from sqlalchemy import update
from werkzeug.test import TestResponse

from models.diagnosis.finding import Code, Finding
from models.recording import record
from models.tables import Job
from service.replies import DiagnosisReply, JobReply
from tests.models.test_repairs import NUMERIC, SICK, WARNING, ended, fault, remedy
from tests.service.conftest import HEADERS, Api
from tests.service.test_moves import run


def end(api: Api, skill: float, *findings: Finding, **changes: Any) -> str:
    """Of the job that is next in the queue."""
    mine = run(api)
    with api.database.write() as connection:
        record(connection, mine, ended(skill, *findings, **changes), 0.0)
    return mine.job_id


def sick(api: Api, *findings: Finding, **changes: Any) -> str:
    api.post(**changes)
    return end(api, 0.1, *(findings or (SICK,)))


def rate_of(job: dict[str, Any]) -> float:
    return float(job["definition"]["training"]["optimizer"]["learning_rate"])


def test_a_repair_is_the_definition_with_the_first_remedy(api: Api) -> None:
    job = sick(api, WARNING, SICK, name="sick", tags=["t"], priority=2)
    rung = len(api.bells)
    reply = api.ask(job, "repairs")
    assert reply.status_code == 202, reply.text
    child = reply.json
    assert reply.headers["Location"] == f"/v1/jobs/{child['id']}"
    assert len(api.bells) > rung
    assert (child["parent"], child["origin"], child["status"]) == (job, "repair", "queued")
    assert (child["name"], child["tags"], child["definition"]["priority"]) == ("sick", ["t"], 2)
    assert (rate_of(child), child["definition"]["repair"]) == (0.01, None)
    parent = api.get(f"/{job}").json
    first = {"id": child["id"], "status": "queued", "verdict": "unknown", "remedy": "first", "finding": "saturated"}
    assert parent["repairs"] == [first]
    JobReply.model_validate(parent)
    said = api.get(f"/{child['id']}/diagnosis").json
    assert said["repair"] == {"of": job, "remedy": "first", "finding": "saturated"}


def test_the_same_call_is_answered_with_the_same_child_until_it_has_ended(api: Api) -> None:
    job = sick(api)
    children = {api.ask(job, "repairs", body).json["id"] for body in (None, {}, {"remedy": "first"}, {"remedy": None})}
    other = api.ask(job, "repairs", {"remedy": "second"}).json
    assert (len(children), other["id"] in children, rate_of(other)) == (1, False, 0.02)
    [child] = children
    api.ask(child, "cancel")
    assert api.ask(job, "repairs").json["id"] not in (child, other["id"])


def test_two_calls_at_once_come_to_one_child(api: Api) -> None:
    job = sick(api)
    replies: list[TestResponse] = []

    def ask() -> None:
        client = api.client.application.test_client()
        replies.append(client.post(f"/v1/jobs/{job}/repairs", headers=HEADERS))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({reply.json["id"] for reply in replies if reply.json is not None}) == 1
    assert len(api.get(f"/{job}").json["repairs"]) == 1


def test_a_parent_in_memory_shows_how_its_repair_is(api: Api) -> None:
    job = sick(api)
    etags = [api.get(f"/{job}").headers["ETag"] for _ in range(2)]
    child = api.ask(job, "repairs").json["id"]
    seen = []

    def look() -> None:
        reply = api.get(f"/{job}", If_None_Match=etags[-1])
        assert reply.status_code == 200
        etags.append(reply.headers["ETag"])
        [repair] = api.get(f"/{job}").json["repairs"]
        seen.append((repair["status"], repair["verdict"]))

    look()
    mine = run(api)
    [repair] = api.get(f"/{job}").json["repairs"]
    assert repair["status"] == "running"
    with api.database.write() as connection:
        record(connection, mine, ended(0.9), 0.0)
    look()
    assert seen == [("queued", "unknown"), ("succeeded", "healthy")]
    assert api.delete(child).status_code == 204
    assert api.get(f"/{job}").json["repairs"] == []


def test_a_repair_that_ended_says_what_came_of_it(api: Api) -> None:
    job = sick(api, SICK, WARNING)
    child = api.ask(job, "repairs").json["id"]
    assert end(api, 0.9, WARNING) == child
    reply = api.get(f"/{child}/diagnosis")
    DiagnosisReply.model_validate(reply.json)
    assert reply.json["repair"] == {
        "of": job,
        "remedy": "first",
        "finding": "saturated",
        "findings": [{"code": "saturated", "gone": True}, {"code": "slow", "gone": False}],
        "metric": {"name": "validation_skill", "before": 0.1, "after": 0.9},
        "cured": True,
    }


def test_a_job_that_repairs_itself_counts_a_repair_by_hand(api: Api) -> None:
    api.post(repair={"max_jobs": 2})
    job = end(api, 0.1, SICK)
    [by_itself] = api.get(f"/{job}").json["repairs"]
    assert api.ask(job, "repairs").json["id"] == by_itself["id"]
    by_hand = api.ask(job, "repairs", {"remedy": "second"}).json
    assert by_hand["definition"]["repair"] == {"max_jobs": 1}


def test_without_a_remedy_it_is_a_409(api: Api) -> None:
    told = "It has no finding to cure.", "None of its findings has a remedy."
    for findings, detail in zip(((), (fault(Code.SATURATED),)), told, strict=True):
        api.post()
        job = end(api, 0.1, *findings)
        for body in (None, {"remedy": "first"}):
            reply = api.ask(job, "repairs", body)
            assert (reply.status_code, reply.json["code"], reply.json["detail"]) == (409, "no_remedy", detail)


def test_a_job_that_has_not_ended_is_not_repaired(api: Api) -> None:
    job = api.post().json["id"]
    for status in ("queued", "running", "paused", "cancelling"):
        with api.database.write() as connection:
            connection.execute(update(Job).where(Job.id == job).values(status=status))
        reply = api.ask(job, "repairs")
        assert (reply.status_code, reply.json["code"]) == (409, "illegal_move")
        assert status in reply.json["detail"]


WRONG: list[tuple[Any, str]] = [
    ({"remedy": "third"}, "/remedy"),
    ({"remedy": ""}, "/remedy"),
    ({"remedy": "x" * 100_000}, "/remedy"),
    ({"remedy": "a\0b"}, "/remedy"),
    ({"remedy": 1}, "/remedy"),
    ({"remedy": ["first"]}, "/remedy"),
    ({"remedy": {"id": "first"}}, "/remedy"),
    ({"remedies": "first"}, "/remedies"),
    ([], ""),
    ("first", ""),
]


def test_a_wrong_body_is_refused_with_its_place(api: Api) -> None:
    job = sick(api)
    for body, pointer in WRONG:
        reply = api.ask(job, "repairs", body)
        assert (reply.status_code, reply.json["errors"][0]["pointer"]) == (422, pointer), body
    assert api.ask(job, "repairs", []).json["errors"][0]["detail"] == "It should be an object."
    unknown = api.ask(job, "repairs", {"remedy": "third"}).json["errors"][0]
    assert (unknown["code"], unknown["hint"]) == ("unknown_remedy", "There are first, second.")
    assert api.get(f"/{job}").json["repairs"] == []


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        (remedy("r", path="/network/there/is/none"), "/patch/0"),
        (remedy("r", -1), "/training/optimizer/learning_rate"),
    ],
)
def test_a_remedy_that_does_not_apply_any_more_is_a_422(api: Api, wrong: Any, pointer: str) -> None:
    reply = api.ask(sick(api, fault(Code.SATURATED, wrong)), "repairs")
    assert (reply.status_code, reply.json["errors"][0]["pointer"]) == (422, pointer)


def test_an_old_definition_or_a_full_queue_is_no_500(api: Api) -> None:
    job = sick(api)
    for _ in range(150):
        assert api.post().status_code == 202
    assert (api.ask(job, "repairs").status_code, api.ask(job, "repairs").json["code"]) == (429, "queue_full")
    with api.database.write() as connection:
        old = api.get(f"/{job}").json["definition"] | {"gone": 1}
        connection.execute(update(Job).where(Job.id == job).values(definition=old))
    reply = api.ask(job, "repairs")
    assert (reply.status_code, reply.json["errors"][0]["pointer"]) == (422, "/gone")


def test_jobs_of_others_and_of_none_are_a_404(api: Api) -> None:
    api.be_no_admin()
    job = sick(api)
    with api.database.write() as connection:
        connection.execute(update(Job).where(Job.id == job).values(owner="key_other"))
    for path in (job, f"job_{'0' * 26}", "job_1"):
        assert api.ask(path, "repairs").status_code == 404
    assert api.read("/v1/remedies").json["items"] == []


def test_remedies_are_counted_with_what_came_of_them(api: Api) -> None:
    first = sick(api)
    api.ask(first, "repairs")
    end(api, 0.9)
    second = sick(api)
    api.ask(second, "repairs")
    end(api, 0.1, SICK, error=NUMERIC)
    third = sick(api)
    cancelled = api.ask(third, "repairs").json["id"]
    api.ask(cancelled, "cancel")
    api.ask(third, "repairs", {"remedy": "second"})
    reply = api.read("/v1/remedies")
    assert reply.json == {
        "items": [
            {"remedy": "first", "finding": "saturated", "tried": 3, "ended": 2, "cured": 1, "success_rate": 0.5},
            {"remedy": "second", "finding": "saturated", "tried": 1, "ended": 0, "cured": 0, "success_rate": None},
        ],
        "next": None,
    }
    assert len(api.statements) == 1
    assert api.read("/v1/remedies?x=1").status_code == 422


def test_a_page_of_jobs_with_repairs_takes_as_many_statements_as_one(api: Api) -> None:
    for _ in range(4):
        api.ask(sick(api), "repairs")
    api.get("?limit=1")
    few = len(api.statements)
    listed = api.get("?limit=20").json["items"]
    assert len(api.statements) == few
    assert sum(len(job["repairs"]) for job in listed) == 4
