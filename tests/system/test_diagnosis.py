"""Diagnosis, repairs and the filters of lists on a running service."""

from typing import Any

from tests.system.stack import Stack

FAULTS = {"network": {"family": "dnn", "hidden": [4]}, "data": {"dataset": "xor"}, "training": {"epochs": 2}}


def diagnosis(stack: Stack, job_id: str) -> dict[str, Any]:
    reply = stack.client.get(f"/v1/jobs/{job_id}/diagnosis")
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


def listed(stack: Stack, **wanted: Any) -> list[str]:
    reply = stack.client.get("/v1/jobs", params={"limit": 200} | wanted)
    assert reply.status_code == 200, reply.text
    return [item["id"] for item in reply.json()["items"]]


def test_a_job_is_diagnosed_and_what_it_offers_can_be_done(stack: Stack) -> None:
    job_id = stack.post(FAULTS)
    job = stack.follow(job_id)
    found = diagnosis(stack, job_id)
    assert (found["job"], found["complete"], job["status"]) == (job_id, True, "succeeded")
    assert found["verdict"] in ("healthy", "warning", "unhealthy", "unknown")
    remedies = [remedy["id"] for finding in found["findings"] for remedy in finding["remedies"]]
    reply = stack.client.post(f"/v1/jobs/{job_id}/repairs")
    if not remedies:
        assert (reply.status_code, reply.json()["code"]) == (409, "no_remedy")
        return
    assert reply.status_code == 202, reply.text
    child = stack.follow(reply.json()["id"])
    assert (child["parent"], child["origin"], child["status"]) == (job_id, "repair", "succeeded")
    assert listed(stack, parent=job_id) == [child["id"]]
    [shown] = stack.job(job_id)["repairs"]
    assert (shown["id"], shown["status"], shown["remedy"]) == (child["id"], "succeeded", remedies[0])
    assert diagnosis(stack, child["id"])["repair"]["of"] == job_id
    tried = stack.client.get("/v1/remedies").json()["items"]
    assert remedies[0] in [item["remedy"] for item in tried]


def test_lists_agree_with_what_jobs_show(stack: Stack) -> None:
    jobs = [stack.train(FAULTS) for _ in range(2)]
    for job in jobs:
        assert job["id"] in listed(stack, verdict=job["verdict"])
        for finding in job["findings"]:
            assert job["id"] in listed(stack, finding=finding["code"])
    assert listed(stack, parent=jobs[0]["id"]) == []


def test_wrong_calls_are_refused(stack: Stack, slow: dict[str, Any]) -> None:
    job_id = stack.post(slow)
    reply = stack.client.post(f"/v1/jobs/{job_id}/repairs", json={})
    assert (reply.status_code, reply.json()["code"]) == (409, "illegal_move")
    assert diagnosis(stack, job_id)["complete"] is False
    stack.cancel(job_id, "force")
    stack.follow(job_id)
    absent = f"job_{'0' * 26}"
    assert stack.client.get(f"/v1/jobs/{absent}/diagnosis").status_code == 404
    assert stack.client.post(f"/v1/jobs/{absent}/repairs").status_code == 404
    for body in ({"remedy": 1}, {"remedy": "a\0b"}, {"remedy": "x" * 10_000}, {"other": 1}, []):
        assert stack.client.post(f"/v1/jobs/{job_id}/repairs", json=body).status_code == 422
    for query in ({"verdict": "ill"}, {"finding": "cold"}, {"parent": "x"}):
        reply = stack.client.get("/v1/jobs", params=query)
        assert (reply.status_code, reply.json()["errors"][0]["pointer"]) == (422, f"/{next(iter(query))}")
