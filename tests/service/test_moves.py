"""Pause, resume, retry, clone and delete, as a client asks for them; on both databases."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update

from models.claims import Claim, claim
from models.database import database_now
from models.keys import BOOTSTRAP
from models.lifecycle import finish, give_back
from models.states import Status
from models.submission import submit
from models.tables import Event, Job, Layer, Statistics, epochs, layer_summaries
from tests.factories import a_definition, an_offer
from tests.service.conftest import Api

RATE = "/training/optimizer/learning_rate"


def run(api: Api) -> Claim:
    with api.database.write() as connection:
        mine = claim(connection, "wrk_a", an_offer(), 60)
    assert mine is not None
    return mine


def end(api: Api, outcome: Status, error: dict[str, Any] | None = None) -> None:
    mine = run(api)
    with api.database.write() as connection:
        finish(connection, mine.job_id, mine.attempt, outcome, error)


def statuses(api: Api, job: str) -> list[str]:
    return [passage["status"] for passage in api.get(f"/{job}").json["history"]]


def test_a_waiting_job_is_paused_and_resumed_in_its_place(api: Api) -> None:
    first, second = api.post().json["id"], api.post().json["id"]
    for _ in range(2):
        reply = api.ask(first, "pause", {})
        assert (reply.status_code, reply.json["status"], reply.json["queue"]) == (202, "paused", None)
    assert api.position(second) == 1
    rung = len(api.bells)
    for _ in range(2):
        reply = api.ask(first, "resume")
        assert (reply.status_code, reply.json["status"]) == (202, "queued")
    assert len(api.bells) > rung
    assert [api.position(job) for job in (first, second)] == [1, 2]
    assert statuses(api, first) == ["queued", "paused", "queued"]


def test_a_running_job_is_pausing_until_its_worker_lets_go(api: Api) -> None:
    job = api.post().json["id"]
    mine = run(api)
    assert api.ask(job, "pause").json["status"] == "pausing"
    assert api.ask(job, "pause").status_code == 202
    refused = api.ask(job, "resume")
    assert (refused.status_code, refused.json["code"]) == (409, "illegal_move")
    assert "pausing" in refused.json["detail"]
    with api.database.write() as connection:
        give_back(connection, job, mine.attempt, "", 3, counts=False)
    assert api.get(f"/{job}").json["status"] == "paused"
    assert api.ask(job, "resume").json["status"] == "queued"
    assert statuses(api, job) == ["queued", "running", "pausing", "paused", "queued"]


def test_resume_is_not_refused_where_the_queue_is_full(api: Api) -> None:
    job = api.post().json["id"]
    api.ask(job, "pause")
    with api.database.write() as connection:
        for _ in range(150):
            submit(connection, a_definition(), BOOTSTRAP, 150)
    assert api.post().status_code == 429
    assert api.ask(job, "resume").status_code == 202


@pytest.mark.parametrize("outcome", [Status.FAILED, Status.CANCELLED])
def test_a_retry_is_a_new_job_and_the_same_one_until_it_has_ended(api: Api, outcome: Status) -> None:
    job = api.post(name="first", priority=3).json["id"]
    if outcome == Status.FAILED:
        end(api, outcome, {"code": "x", "title": "X", "detail": "", "class": "user", "retryable": False})
    else:
        api.ask(job, "cancel")
    rung = len(api.bells)
    replies = [api.ask(job, "retry") for _ in range(2)]
    [child] = {reply.json["id"] for reply in replies}
    assert [reply.status_code for reply in replies] == [202, 202]
    assert {reply.headers["Location"] for reply in replies} == {f"/v1/jobs/{child}"}
    assert len(api.bells) > rung
    shown = api.get(f"/{child}").json
    assert (shown["parent"], shown["origin"], shown["status"], shown["name"]) == (job, "retry", "queued", "first")
    assert shown["definition"] == api.get(f"/{job}").json["definition"]
    api.ask(child, "cancel")
    assert api.ask(job, "retry").json["id"] not in (child, job)
    assert api.get(f"/{job}").json["status"] == outcome


def test_a_definition_that_is_not_understood_any_more_is_not_retried(api: Api) -> None:
    job = api.post().json["id"]
    api.ask(job, "cancel")
    with api.database.write() as connection:
        old = update(Job).where(Job.id == job).values(definition=api.get(f"/{job}").json["definition"] | {"gone": 1})
        connection.execute(old)
    for reply in (api.ask(job, "retry"), api.ask(job, "clones", {"patch": []})):
        assert (reply.status_code, reply.json["errors"][0]["pointer"]) == (422, "/gone")


def test_a_retry_counts_among_the_jobs_that_wait(api: Api) -> None:
    job = api.post().json["id"]
    api.ask(job, "cancel")
    with api.database.write() as connection:
        for _ in range(150):
            submit(connection, a_definition(), BOOTSTRAP, 150)
    for reply in (api.ask(job, "retry"), api.ask(job, "clones", {"patch": []})):
        assert (reply.status_code, reply.json["code"]) == (429, "queue_full")
        assert "DESCENT_QUEUED_JOBS" in reply.json["detail"]


ILLEGAL = [
    ("pause", "succeeded"),
    ("resume", "succeeded"),
    ("cancel", "succeeded"),
    ("retry", "succeeded"),
    ("retry", "queued"),
    ("retry", "running"),
    ("pause", "cancelling"),
    ("resume", "cancelling"),
]


@pytest.mark.parametrize(("call", "status"), ILLEGAL)
def test_an_illegal_move_is_a_409_that_names_the_state(api: Api, call: str, status: str) -> None:
    job = api.post().json["id"]
    with api.database.write() as connection:
        connection.execute(update(Job).where(Job.id == job).values(status=status))
    reply = api.ask(job, call)
    assert (reply.status_code, reply.json["code"]) == (409, "illegal_move")
    assert status in reply.json["detail"]
    assert api.get(f"/{job}").json["status"] == status


def test_a_clone_is_the_patched_definition(api: Api) -> None:
    job = api.post(tags=["a"]).json["id"]
    rung = len(api.bells)
    patch = [
        {"op": "test", "path": RATE, "value": 0.001},
        {"op": "replace", "path": RATE, "value": 0.5},
        {"op": "add", "path": "/network/hidden/-", "value": 9},
        {"op": "copy", "from": "/network/hidden/0", "path": "/training/epochs"},
        {"op": "remove", "path": "/tags/0", "comment": "ignored"},
    ]
    reply = api.ask(job, "clones", {"patch": patch})
    assert reply.status_code == 202, reply.text
    assert len(api.bells) > rung
    assert reply.headers["Location"] == f"/v1/jobs/{reply.json['id']}"
    shown = api.get(f"/{reply.json['id']}").json
    definition = shown["definition"]
    assert (shown["parent"], shown["origin"], shown["tags"]) == (job, "clone", [])
    assert definition["network"]["hidden"] == [4, 9]
    assert (definition["training"]["optimizer"]["learning_rate"], definition["training"]["epochs"]) == (0.5, 4)
    assert api.get(f"/{job}").json["definition"]["network"]["hidden"] == [4]


def test_a_member_that_an_operation_does_not_know_may_be_null(api: Api) -> None:
    job = api.post().json["id"]
    operation = {"op": "replace", "path": "/training/epochs", "value": 3, "from": None}
    clone = api.ask(job, "clones", {"patch": [operation]})
    assert (clone.status_code, clone.json["definition"]["training"]["epochs"]) == (202, 3)


def test_two_clones_are_two_jobs(api: Api) -> None:
    job = api.post().json["id"]
    assert len({api.ask(job, "clones", {"patch": []}).json["id"] for _ in range(2)} | {job}) == 3


NEST = {"op": "copy", "from": "", "path": "/network"}
WRONG_PATCHES: dict[str, tuple[Any, str]] = {
    "no patch": ({}, "/patch"),
    "unknown field": ({"patch": [], "patches": []}, "/patches"),
    "not an array": ({"patch": {"op": "remove", "path": "/name"}}, "/patch"),
    "not an object": ({"patch": ["remove"]}, "/patch/0"),
    "unknown op": ({"patch": [{"op": "delete", "path": "/name"}]}, "/patch/0/op"),
    "no path": ({"patch": [{"op": "remove"}]}, "/patch/0/path"),
    "no pointer": ({"patch": [{"op": "remove", "path": "name"}]}, "/patch/0/path"),
    "no value": ({"patch": [{"op": "add", "path": "/name"}]}, "/patch/0"),
    "no from": ({"patch": [{"op": "move", "path": "/name"}]}, "/patch/0"),
    "a bad escape": ({"patch": [{"op": "remove", "path": "/a~2b"}]}, "/patch/0"),
    "nothing there": ({"patch": [{"op": "test", "path": "/name", "value": ""}, {"op": "remove", "path": "/x"}]},
                      "/patch/1"),
    "nothing there within": ({"patch": [{"op": "replace", "path": "/training/optimiser", "value": 1}]}, "/patch/0"),
    "beyond the array": ({"patch": [{"op": "add", "path": "/network/hidden/7", "value": 1}]}, "/patch/0"),
    "no index": ({"patch": [{"op": "add", "path": "/network/hidden/x", "value": 1}]}, "/patch/0"),
    "a negative index": ({"patch": [{"op": "remove", "path": "/network/hidden/-1"}]}, "/patch/0"),
    "into a number": ({"patch": [{"op": "add", "path": "/priority/x", "value": 1}]}, "/patch/0"),
    "into a text": ({"patch": [{"op": "replace", "path": "/data/dataset/0", "value": 1}]}, "/patch/0"),
    "into null": ({"patch": [{"op": "add", "path": "/resources/memory/x", "value": 1}]}, "/patch/0"),
    "the whole": ({"patch": [{"op": "remove", "path": ""}]}, ""),
    "the whole to null": ({"patch": [{"op": "replace", "path": "", "value": None}]}, ""),
    "into its own child": ({"patch": [{"op": "move", "from": "/network", "path": "/network/x"}]}, "/patch/0"),
    "a test that fails": ({"patch": [{"op": "test", "path": RATE, "value": 7}]}, "/patch/0"),
    "a definition that is wrong": ({"patch": [{"op": "replace", "path": RATE, "value": -1}]}, RATE),
    "a network that is unknown": ({"patch": [{"op": "replace", "path": "/network/family", "value": "gan"}]},
                                  "/network"),
    "too many operations": ({"patch": [{"op": "test", "path": "/name", "value": ""}] * 1001}, "/patch"),
    "doubled again and again": ({"patch": [NEST | {"path": f"/x{n}"} for n in range(60)]}, "/patch/"),
    "nested again and again": ({"patch": [NEST] * 60}, ""),
    "a path without an end": ({"patch": [{"op": "add", "path": "/a" * 400, "value": 1}]}, "/patch/0"),
    "NUL": ({"patch": [{"op": "replace", "path": "/name", "value": "a\0b"}]}, "/patch/0/value"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG_PATCHES)
def test_a_wrong_patch_is_refused_with_its_place_and_a_hint(tmp_path: Path, name: str) -> None:
    from migrations.migrate import migrate

    url = f"sqlite:///{tmp_path}/descent.db"
    migrate(url)
    api = Api(url, tmp_path)
    body, pointer = WRONG_PATCHES[name]
    job = api.post().json["id"]
    reply = api.ask(job, "clones", body)
    assert reply.status_code == 422, reply.text
    errors = reply.json["errors"]
    assert any(error["pointer"].startswith(pointer) for error in errors), errors
    assert all(error["hint"] and error["detail"] and error["code"] for error in errors)
    with api.database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(Job)) == 1
    api.database.close()


def test_a_deleted_job_is_gone_with_all_that_was_kept_of_it(api: Api) -> None:
    job = api.post().json["id"]
    assert api.delete(job).status_code == 409
    end(api, Status.SUCCEEDED)
    with api.database.write() as connection:
        of_job = {"job_id": job}
        connection.execute(insert(epochs), of_job | {"epoch": 1, "run": 0, "nonfinite": {}, "seconds": 1.0})
        summary = {"epoch": 1, "tensor_index": 0, "layer": "l", "tensor": "t", "samples": 1}
        connection.execute(insert(layer_summaries), of_job | summary)
        chunk = {"series": "tensors", "first_step": 0, "last_step": 0, "samples": 1, "data": b"x"}
        connection.execute(insert(Statistics), of_job | chunk)
        layer = {"index": 0, "name": "l", "kind": "dense", "input_shape": [], "output_shape": [], "parameters": 0}
        connection.execute(insert(Layer), of_job | layer | {"init": "none", "tensors": []})
    folder = api.folder / "checkpoints" / job
    folder.mkdir(parents=True)
    (folder / "checkpoint").touch()
    other = api.post().json["id"]
    assert api.get(f"/{job}").status_code == 200
    reply = api.delete(job)
    assert (reply.status_code, reply.data) == (204, b"")
    assert [api.get(f"/{job}").status_code, api.delete(job).status_code] == [404, 404]
    assert not folder.exists()
    assert api.get(f"/{other}").status_code == 200
    with api.database.read() as connection:
        for column in (Event.job_id, Layer.job_id, Statistics.job_id, epochs.c.job_id, layer_summaries.c.job_id):
            assert connection.scalar(select(func.count()).where(column == job)) == 0


@pytest.mark.parametrize("call", ["cancel", "pause", "resume", "retry", "clones", "repairs"])
def test_wrong_calls_are_refused_alike(api: Api, call: str) -> None:
    api.be_no_admin()
    body = {"patch": []} if call == "clones" else {}
    assert api.ask(f"job_{'0' * 26}", call, body).status_code == 404
    assert api.ask("job_1", call, body).status_code == 404
    job = api.post().json["id"]
    with api.database.write() as connection:
        connection.execute(update(Job).where(Job.id == job).values(owner="key_other", created_at=database_now()))
    assert api.ask(job, call, body).status_code == 404
    assert api.ask(job, call, {"x": 1}).status_code == 422
    assert api.ask(job, f"{call}?x=1", body).status_code == 422
    assert api.ask(job, call, []).status_code == 422
    assert api.delete(job).status_code == 404
    huge = api.client.post(f"/v1/jobs/{job}/{call}", data=b" " * 1_000_001, headers=_json())
    assert (huge.status_code, "DESCENT_BODY_BYTES" in huge.json["detail"]) == (413, True)
    assert api.client.post(f"/v1/jobs/{job}/{call}", data=b"{", headers=_json()).status_code == 400


def _json() -> dict[str, str]:
    return {"Authorization": f"Bearer {'k' * 32}", "Content-Type": "application/json"}


def test_a_job_links_to_all_that_can_be_asked_of_it(api: Api) -> None:
    job = api.post().json
    assert job["max_attempts"] == 3
    for call in ("cancel", "pause", "resume", "retry", "clones", "repairs"):
        assert job["links"][call] == f"/v1/jobs/{job['id']}/{call}"
