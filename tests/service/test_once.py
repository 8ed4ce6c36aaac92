"""`Idempotency-Key` over HTTP: a repetition makes nothing, whatever became of the first answer. On both databases."""

import threading
from typing import Any

import pytest
from sqlalchemy import func, select, update
from werkzeug.test import TestResponse

from models import idempotency
from models.database import database_now
from models.idempotency import Key, fingerprint, keep, sweep
from models.keys import BOOTSTRAP
from models.tables import IdempotencyKey, Job
from service import once
from tests.service.conftest import HEADERS, SMALL, Api


def post(api: Api, key: str, body: Any = SMALL, path: str = "/v1/jobs") -> TestResponse:
    client = api.client.application.test_client()
    return client.post(path, json=body, headers=HEADERS | {"Idempotency-Key": key})


def count(api: Api, table: Any = Job) -> int:
    with api.database.read() as connection:
        return connection.scalar(select(func.count()).select_from(table)) or 0


def test_the_same_key_and_body_is_the_same_job_again(api: Api) -> None:
    first, second = post(api, "a"), post(api, "a")
    assert (first.status_code, second.status_code) == (202, 200)
    assert first.json["id"] == second.json["id"]
    assert first.headers["Location"] == second.headers["Location"]
    assert count(api) == 1
    assert post(api, "b").json["id"] != first.json["id"]


def test_bodies_are_compared_as_json_values(api: Api) -> None:
    client = api.client
    headers = HEADERS | {"Idempotency-Key": "a", "Content-Type": "application/json"}
    spelt = [
        b'{"network": {"family": "dnn", "hidden": [4]}, "data": {"dataset": "diabetes", "label_noise": 0.0}}',
        b'{"data":{"label_noise":0,"dataset":"diabetes"},"network":{"hidden":[4],"family":"\\u0064nn"}}',
    ]
    replies = [client.post("/v1/jobs", data=body, headers=headers) for body in spelt]
    assert [reply.status_code for reply in replies] == [202, 200], replies[1].text
    assert fingerprint("POST /v1/jobs", {"a": 1}) != fingerprint("POST /v1/jobs", {"a": True})
    assert fingerprint("POST /v1/jobs", {"a": 1}) != fingerprint("POST /v1/jobs", {"a": "1"})


def test_the_key_with_another_body_or_call_is_a_409(api: Api) -> None:
    job = post(api, "a").json["id"]
    for reply in (
        post(api, "a", SMALL | {"name": "other"}),
        post(api, "a", {"patch": []}, f"/v1/jobs/{job}/clones"),
    ):
        assert (reply.status_code, reply.json["code"]) == (409, "key_reused")
    assert count(api) == 1


def test_clones_retries_and_repairs_are_made_once(api: Api) -> None:
    job = api.post().json["id"]
    api.ask(job, "cancel")
    for call, body in (("clones", {"patch": []}), ("retry", {})):
        replies = [post(api, call, body, f"/v1/jobs/{job}/{call}") for _ in range(3)]
        assert [reply.status_code for reply in replies] == [202, 200, 200]
        assert len({reply.json["id"] for reply in replies}) == 1
    # Once that child has ended, a retry without the key would make another.
    child = post(api, "retry", {}, f"/v1/jobs/{job}/retry").json["id"]
    api.ask(child, "cancel")
    assert post(api, "retry", {}, f"/v1/jobs/{job}/retry").json["id"] == child
    assert count(api) == 3


def test_a_refused_request_does_not_use_its_key_up(api: Api) -> None:
    assert post(api, "a", {"network": {}}).status_code == 422
    assert post(api, "a", [1]).status_code == 422
    assert post(api, "a").status_code == 202


def test_the_key_of_a_deleted_job_makes_no_other(api: Api) -> None:
    job = post(api, "a").json["id"]
    api.ask(job, "cancel")
    api.delete(job)
    assert post(api, "a").status_code == 404
    assert count(api) == 0


def test_keys_are_those_of_their_owner(api: Api) -> None:
    request = fingerprint("POST /v1/jobs", SMALL)
    with api.database.write() as connection:
        keep(connection, [(Key("key_other", "a", request), "job_other")])
    assert post(api, "a").status_code == 202
    assert count(api, IdempotencyKey) == 2


def test_a_key_is_forgotten_after_a_day(api: Api) -> None:
    post(api, "a")
    long_ago = update(IdempotencyKey).values(created_at=database_now() - idempotency.KEPT_SECONDS - 1)
    with api.database.write() as connection:
        connection.execute(long_ago)
    assert post(api, "a", SMALL | {"name": "other"}).status_code == 202
    assert post(api, "b").status_code == 202
    with api.database.write() as connection:
        connection.execute(long_ago.where(IdempotencyKey.key == "b"))
        sweep(connection)
    assert count(api, IdempotencyKey) == 1


@pytest.mark.parametrize("key", ["", "a" * 256, "é"])
def test_a_key_that_is_none_is_refused_by_name(api: Api, key: str) -> None:
    reply = post(api, key)
    assert (reply.status_code, reply.json["errors"][0]["pointer"]) == (422, "/Idempotency-Key")


def test_while_the_first_is_in_flight_the_answer_is_409_with_retry_after(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go = threading.Event(), threading.Event()

    def slowly(key: Key) -> str | None:
        entered.set()
        go.wait(10)
        return None

    monkeypatch.setattr(once, "_made", slowly)
    replies: list[TestResponse] = []
    first = threading.Thread(target=lambda: replies.append(post(api, "a")))
    first.start()
    entered.wait(10)
    second = post(api, "a")
    assert (second.status_code, second.json["code"]) == (409, "in_flight")
    assert int(second.headers["Retry-After"]) >= 1
    go.set()
    first.join()
    assert replies[0].status_code == 202


def test_of_many_at_once_in_two_processes_one_makes_the_job(api: Api, database_url: str) -> None:
    """Each process knows only its own flights, so that the database alone decides between the two."""
    apis = [api, Api(database_url, api.folder)]
    replies: list[TestResponse] = []

    def send(number: int) -> None:
        replies.append(post(apis[number % 2], f"key {number // 8}"))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(80)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    apis[1].database.close()
    assert {reply.status_code for reply in replies} <= {200, 202, 409}
    assert {reply.json["code"] for reply in replies if reply.status_code == 409} <= {"in_flight"}
    made = [reply.json["id"] for reply in replies if reply.status_code == 202]
    assert len(made) == len(set(made)) == count(api) == 10
    assert {reply.json["id"] for reply in replies if reply.status_code == 200} <= set(made)


def test_a_key_that_another_process_committed_meanwhile_is_answered_with_its_job(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = post(api, "a").json["id"]
    asked = iter([None, first])
    monkeypatch.setattr(once, "_made", lambda key: next(asked))
    reply = post(api, "a")
    assert (reply.status_code, reply.json["id"], count(api)) == (200, first, 1)


def test_the_key_is_of_the_owner_who_sent_it(api: Api) -> None:
    post(api, "a")
    with api.database.read() as connection:
        assert connection.scalars(select(IdempotencyKey.owner)).all() == [BOOTSTRAP]
