"""Evaluations over HTTP: listed, asked for, and refused where the data are not like those of the job."""

from typing import Any

import pytest

from models import tasks
from models.database import Database
from models.tasks import MOST_OPEN, Kind
from tests.service.conftest import HEADERS, Api
from tests.service.models import a_succeeded_job

CNN: dict[str, Any] = {
    "network": {"family": "cnn", "blocks": [{"filters": 2}], "pooling": "average"},
    "data": {"dataset": "signals", "parameters": {"length": 32}},
}
SINE: dict[str, Any] = {"network": {"family": "rnn", "hidden": 3}, "data": {"dataset": "sine"}}


@pytest.fixture
def job(api: Api, database: Database) -> str:
    return a_succeeded_job(api, database, api.storage, {})


def test_an_evaluation_is_a_task_that_a_worker_does(api: Api, job: str, database: Database) -> None:
    bells = len(api.bells)
    reply = api.ask(job, "evaluations", {"dataset": "xor", "parameters": {"noise": 0.3}})
    assert reply.status_code == 202
    assert reply.json["request"] == {"dataset": "xor", "parameters": {"noise": 0.3}}
    assert len(api.bells) == bells + 1
    waiting = api.read(reply.headers["Location"])
    assert (waiting.json["status"], waiting.headers["Retry-After"]) == ("queued", "1")
    with database.write() as connection:
        task = tasks.claim(connection, "wrk_a", (Kind.EVALUATION,), 60)
        assert task is not None
        assert task.request["data"]["parameters"]["rows"] == 400
        tasks.succeed(connection, task, {"task": "classification", "accuracy": 1.0})
    done = api.read(reply.headers["Location"])
    assert (done.json["status"], done.json["result"]["accuracy"]) == ("succeeded", 1.0)
    assert "Retry-After" not in done.headers


def test_all_evaluations_are_listed_page_by_page(api: Api, job: str) -> None:
    ids = [api.ask(job, "evaluations", {"dataset": "xor"}).json["id"] for _ in range(3)]
    first = api.get(f"/{job}/evaluations?limit=2").json
    second = api.get(f"/{job}/evaluations?limit=2&after={first['next']}").json
    assert [item["id"] for item in first["items"] + second["items"]] == ids[::-1]
    assert second["next"] is None


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({"dataset": "iris"}, "/dataset", "other_shape"),
        ({"dataset": "diabetes"}, "/dataset", "other_shape"),
        ({"dataset": "irs"}, "/dataset", "unknown_dataset"),
        ({"dataset": "xor", "parameters": {"noise": -1}}, "/parameters/noise", "greater_than_equal"),
        ({"dataset": "dat_" + "0" * 26}, "/dataset", "other_kind"),
        ({"dataset": 3}, "/dataset", "string_type"),
        ({}, "/dataset", "missing"),
        ({"dataset": "xor", "rows": 3}, "/rows", "extra_forbidden"),
        ([], "", "model_type"),
    ],
)
def test_other_data_are_refused_with_their_place(api: Api, job: str, body: Any, pointer: str, code: str) -> None:
    reply = api.ask(job, "evaluations", body)
    assert reply.status_code == 422
    assert (reply.json["errors"][0]["pointer"], reply.json["errors"][0]["code"]) == (pointer, code)


@pytest.mark.parametrize(
    ("definition", "longer"), [(CNN, {"dataset": "signals", "parameters": {"length": 64}}), (SINE, {"dataset": "sine"})]
)
def test_another_length_goes_where_the_network_takes_any(
    api: Api, database: Database, definition: Any, longer: Any
) -> None:
    job = a_succeeded_job(api, database, api.storage, {}, **definition)
    assert api.ask(job, "evaluations", longer).status_code == 202


def test_a_job_without_a_model_has_nothing_to_evaluate(api: Api) -> None:
    job_id = api.post().json["id"]
    reply = api.ask(job_id, "evaluations", {"dataset": "xor"})
    assert (reply.status_code, reply.json["code"]) == (409, "no_model")
    assert api.get(f"/{job_id}/evaluations").json["items"] == []


def test_what_is_not_there_is_404(api: Api, job: str) -> None:
    for path in (f"/{job}/evaluations/evl_{'0' * 26}", f"/{job}/evaluations/no", f"/job_{'0' * 26}/evaluations"):
        assert api.get(path).status_code == 404


def test_the_tasks_of_a_job_are_bounded(api: Api, job: str) -> None:
    for _ in range(MOST_OPEN - 1):
        assert api.ask(job, "evaluations", {"dataset": "xor"}).status_code == 202
    assert api.ask(job, "evaluations", {"dataset": "xor"}).status_code == 429


def test_an_evaluation_with_a_key_is_made_once(api: Api, job: str) -> None:
    body = {"dataset": "xor", "parameters": {"noise": 0.3}}
    headers = HEADERS | {"Idempotency-Key": "a"}
    path = f"/v1/jobs/{job}/evaluations"
    replies = [api.client.post(path, json=body, headers=headers) for _ in range(2)]
    assert [reply.status_code for reply in replies] == [202, 200]
    assert replies[0].json["id"] == replies[1].json["id"]
    assert replies[0].headers["Location"] == replies[1].headers["Location"]
    assert api.client.post(path, json={"dataset": "xor"}, headers=headers).json["code"] == "key_reused"
