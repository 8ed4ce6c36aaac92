"""Pausing, resuming, retrying, cloning and deleting on a running service."""

import time
from typing import Any

from tests.system.stack import Stack
from tests.waiting import await_true


def running(stack: Stack, definition: dict[str, Any]) -> str:
    job_id = stack.post(definition)
    end = time.monotonic() + 60
    while stack.job(job_id)["progress"]["step"] == 0:
        assert time.monotonic() < end, stack.log()
        time.sleep(0.05)
    return job_id


def ask(stack: Stack, job_id: str, call: str, body: Any = None) -> dict[str, Any]:
    reply = stack.client.post(f"/v1/jobs/{job_id}/{call}", json=body or {})
    assert reply.status_code == 202, reply.text
    found: dict[str, Any] = reply.json()
    return found


def test_a_running_job_is_paused_and_goes_on_where_it_was(stack: Stack, slow: dict[str, Any]) -> None:
    job_id = running(stack, slow)
    assert ask(stack, job_id, "pause")["status"] in ("pausing", "paused")
    paused = stack.follow(job_id, "paused")
    assert paused["status"] == "paused"
    workers = stack.client.get("/v1/workers").json()["items"]
    assert job_id not in [slot["job"] for worker in workers for slot in worker["slots"]]
    assert ask(stack, job_id, "resume")["status"] in ("queued", "running")
    resumed = stack.follow(job_id, "running")
    assert (resumed["status"], resumed["attempt"]) == ("running", 2)
    stack.client.post(f"/v1/jobs/{job_id}/cancel", json={"mode": "force"})
    assert stack.follow(job_id)["progress"]["step"] >= paused["progress"]["step"]


def test_a_cancelled_job_is_retried_and_cloned_and_then_deleted(stack: Stack, slow: dict[str, Any]) -> None:
    job_id = running(stack, slow)
    stack.client.post(f"/v1/jobs/{job_id}/cancel", json={"mode": "force"})
    assert stack.follow(job_id)["status"] == "cancelled"
    child = ask(stack, job_id, "retry")["id"]
    assert stack.follow(child, "running")["parent"] == job_id
    patch = [{"op": "replace", "path": "/training/epochs", "value": 1}]
    clone = ask(stack, child, "clones", {"patch": patch})["id"]
    waiting = stack.client.get("/v1/queue").json()
    assert [item["id"] for item in waiting["items"]] in ([clone], [])
    stack.client.post(f"/v1/jobs/{child}/cancel", json={"mode": "force"})
    assert stack.follow(clone)["status"] == "succeeded"
    assert stack.client.delete(f"/v1/jobs/{job_id}").status_code == 204
    assert stack.client.get(f"/v1/jobs/{job_id}").status_code == 404


def test_the_workers_say_which_slot_has_which_job(stack: Stack, slow: dict[str, Any]) -> None:
    job_id = running(stack, slow)
    workers = stack.client.get("/v1/workers").json()["items"]
    assert job_id in [slot["job"] for worker in workers if worker["alive"] for slot in worker["slots"]]
    # What is known of the queue may be a second old.
    await_true(lambda: stack.client.get("/v1/queue").json()["running"] >= 1)
    stack.client.post(f"/v1/jobs/{job_id}/cancel", json={"mode": "force"})
    assert stack.follow(job_id)["status"] == "cancelled"
