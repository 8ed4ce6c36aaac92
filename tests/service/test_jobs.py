"""The API's answers about jobs, in this process, on both databases."""

import threading

import pytest
from sqlalchemy import update
from werkzeug.test import TestResponse

from models.claims import claim
from models.keys import BOOTSTRAP
from models.lifecycle import cancel, finish
from models.states import Status
from models.tables import Job
from models.workers import Registration, beat
from service import known_queue
from service.ended import EndedJobs
from tests.factories import an_offer
from tests.service.conftest import HEADERS, SMALL, Api


def test_a_304_reads_the_version_and_nothing_else(api: Api) -> None:
    url = f"/{api.post().json['id']}"
    tag = api.get(url).headers["ETag"]
    reply = api.get(url, If_None_Match=tag)
    assert (reply.status_code, reply.data, reply.headers["ETag"]) == (304, b"", tag)
    assert reply.headers["Retry-After"]
    [statement] = api.statements
    assert "definition" not in statement
    assert "events" not in statement


def test_every_move_of_a_job_changes_its_etag(api: Api) -> None:
    job = api.post().json["id"]
    tags = [api.get(f"/{job}").headers["ETag"]]
    with api.database.write() as connection:
        mine = claim(connection, "wrk_a", an_offer(), 60)
    assert mine is not None
    tags.append(api.get(f"/{job}").headers["ETag"])
    with api.database.write() as connection:
        cancel(connection, job, BOOTSTRAP, "graceful")
    tags.append(api.get(f"/{job}").headers["ETag"])
    with api.database.write() as connection:
        finish(connection, job, mine.attempt, Status.CANCELLED)
    tags.append(api.get(f"/{job}").headers["ETag"])
    assert len(set(tags)) == 4
    assert [api.get(f"/{job}", If_None_Match=tag).status_code for tag in tags] == [200, 200, 200, 304]


def test_a_job_of_another_is_a_404_also_to_one_who_knows_its_version(api: Api) -> None:
    assert api.get(f"/job_{'0' * 26}", If_None_Match='W/"1"').status_code == 404


def test_a_job_that_ended_is_read_by_one_statement(api: Api) -> None:
    job = api.post().json["id"]
    api.client.post(f"/v1/jobs/{job}/cancel", headers=HEADERS)
    history = api.get(f"/{job}").json["history"]
    assert [passage["status"] for passage in history] == ["queued", "cancelled"]
    assert len(api.statements) == 1


def test_a_list_takes_as_many_statements_for_many_jobs_as_for_one(api: Api) -> None:
    for _ in range(20):
        api.post()
    api.get("?limit=1")
    few = len(api.statements)
    api.get("?limit=20")
    assert len(api.statements) == few


def test_a_short_queue_is_exact_and_by_priority(api: Api) -> None:
    first, second = api.post().json["id"], api.post().json["id"]
    urgent = api.post(priority=5).json["id"]
    assert [api.position(job) for job in (urgent, first, second)] == [1, 2, 3]
    api.client.post(f"/v1/jobs/{first}/cancel", headers=HEADERS)
    assert [api.position(job) for job in (urgent, second)] == [1, 2]
    listed = {item["id"]: item["queue"] and item["queue"]["position"] for item in api.get("").json["items"]}
    assert listed == {urgent: 1, second: 2, first: None}


def test_a_long_queue_is_not_read_again_for_each_answer(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_queue, "SHORT", 2)
    monkeypatch.setattr(known_queue, "FRESH_SECONDS", 3600)
    with api.database.write() as connection:
        beat(connection, Registration("wrk_a", ("cpu",), 2**34, True))
    jobs = [api.post().json["id"] for _ in range(4)]
    assert [api.position(job) for job in jobs] == [1, 2, 3, 4]
    assert len(api.statements) == 1
    # One that came later is behind those that are known, though it is not known itself.
    assert api.position(api.post().json["id"]) == 5


def test_jobs_posted_at_once_are_each_accepted_or_refused(api: Api) -> None:
    replies: list[TestResponse] = []

    def post(name: str) -> None:
        replies.append(
            api.client.application.test_client().post("/v1/jobs", json=SMALL | {"name": name}, headers=HEADERS)
        )

    threads = [threading.Thread(target=post, args=(str(index),)) for index in range(160)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    accepted = [reply.json for reply in replies if reply.status_code == 202]
    assert sorted(reply.status_code for reply in replies) == [202] * 150 + [429] * 10
    assert len({job["id"] for job in accepted}) == 150
    stored = {item["id"]: item["name"] for item in api.get("?limit=200").json["items"]}
    assert stored == {job["id"]: job["name"] for job in accepted}


def test_a_202_shows_what_a_get_shows(api: Api) -> None:
    replies = [api.post(), api.post(name="é☃", tags=["a", "b"], priority=7)]
    for posted in replies:
        found = api.get(f"/{posted.json['id']}")
        assert posted.json | {"queue": None} == found.json | {"queue": None}
        assert posted.headers["ETag"] == found.headers["ETag"]
    assert [reply.json["queue"]["position"] for reply in replies] == [1, 1]
    assert [api.position(reply.json["id"]) for reply in replies] == [2, 1]


def test_a_job_that_has_ended_is_answered_as_before_until_its_version_rises(api: Api) -> None:
    job = api.post().json["id"]
    with api.database.write() as connection:
        cancel(connection, job, BOOTSTRAP, "graceful")
    first, second = api.get(f"/{job}"), api.get(f"/{job}")
    assert "definition" not in "".join(api.statements)
    assert (second.data, second.mimetype) == (first.data, first.mimetype)
    assert second.headers["ETag"] == first.headers["ETag"]
    with api.database.write() as connection:
        connection.execute(update(Job).where(Job.id == job).values(name="other", version=Job.version + 1))
    third = api.get(f"/{job}")
    assert (third.json["name"], third.headers["ETag"] == first.headers["ETag"]) == ("other", False)


def test_a_job_that_has_ended_is_not_shown_to_another_owner(api: Api) -> None:
    api.be_no_admin()
    job = api.post().json["id"]
    with api.database.write() as connection:
        cancel(connection, job, BOOTSTRAP, "graceful")
    assert api.get(f"/{job}").status_code == 200
    with api.database.write() as connection:
        connection.execute(update(Job).where(Job.id == job).values(owner="key_other"))
    assert api.get(f"/{job}").status_code == 404


def test_answers_are_kept_up_to_a_number_of_bytes_those_asked_for_last() -> None:
    ended = EndedJobs(most_bytes=30)
    for job in ("a", "b", "c"):
        ended.keep(job, 1, job.encode() * 10)
    assert ended.find("a", 1) == b"a" * 10
    ended.keep("c", 2, b"C" * 10)
    ended.keep("d", 1, b"d" * 10)
    assert [ended.find(job, 1) for job in "abcd"] == [b"a" * 10, None, None, b"d" * 10]
    assert ended.find("c", 2) == b"C" * 10
    ended.keep("e", 1, b"e" * 31)
    assert "e" not in ended


@pytest.mark.parametrize("sent", ["req-1.A_b", "a" * 100, "", "a" * 101, "a b", "é", "<script>"])
def test_every_answer_and_problem_names_its_request(api: Api, sent: str) -> None:
    is_word = sent in ("req-1.A_b", "a" * 100)
    for path, headers in (("/v1/jobs", HEADERS), ("/v1/nothing", HEADERS), ("/v1/jobs", {}), ("/healthz", {})):
        reply = api.client.get(path, headers=headers | {"X-Request-Id": sent})
        named = reply.headers["X-Request-Id"]
        assert (named == sent) is is_word
        assert len(named) >= 8
        assert reply.status_code == 200 or reply.json["request_id"] == named
