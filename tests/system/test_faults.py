"""What is killed, is run again; what is cancelled, stops; and neither harms anything else."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from tests.system.conftest import Stack


def runner_pids(stack: Stack) -> list[int]:
    """Sessions of their own among the children of the fork server: the jobs that train."""
    return [pid for pid in stack.processes("multiprocessing.forkserver") if os.getsid(pid) == pid]


def await_true(condition: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.05)


def test_a_running_job_is_cancelled_within_a_second_and_its_process_is_gone(stack: Stack, slow: dict[str, Any]) -> None:
    job_id = stack.post(slow)
    stack.follow(job_id, "running")
    await_true(lambda: stack.job(job_id)["progress"]["step"] > 0)
    asked = time.monotonic()
    assert stack.client.post(f"/v1/jobs/{job_id}/cancel").status_code == 202
    job = stack.follow(job_id)
    assert job["status"] == "cancelled"
    # Generous, for a busy machine; benchmarks/jobs.py prints what it takes.
    assert time.monotonic() - asked < 5
    await_true(lambda: not runner_pids(stack))
    assert stack.client.post(f"/v1/jobs/{job_id}/cancel").status_code == 202
    assert stack.client.get(f"/v1/jobs/{job_id}/gradients").json()["steps"]


def test_a_job_is_killed_by_force(stack: Stack, slow: dict[str, Any]) -> None:
    job_id = stack.post(slow)
    stack.follow(job_id, "running")
    stack.client.post(f"/v1/jobs/{job_id}/cancel", json={"mode": "force"})
    assert stack.follow(job_id)["status"] == "cancelled"


def test_a_waiting_job_is_cancelled_at_once(stack: Stack, slow: dict[str, Any]) -> None:
    running, waiting = stack.post(slow), stack.post(slow)
    stack.follow(running, "running")
    assert stack.job(waiting)["queue"] == {"position": 1, "waiting_for": "slot"}
    assert stack.client.post(f"/v1/jobs/{waiting}/cancel").json()["status"] == "cancelled"
    stack.client.post(f"/v1/jobs/{running}/cancel", json={"mode": "force"})
    assert stack.follow(running)["status"] == "cancelled"


def test_a_runner_that_is_killed_runs_again_and_the_result_is_the_same(stack: Stack) -> None:
    definition = stack.example("digits_lstm")
    job_id = stack.post(definition)
    await_true(lambda: stack.job(job_id)["progress"]["epoch"] > 0)
    for pid in runner_pids(stack):
        os.kill(pid, signal.SIGKILL)
    job = stack.follow(job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", 2)
    assert [passage["status"] for passage in job["history"]] == ["queued", "running", "queued", "running", "succeeded"]
    undisturbed = stack.train(definition)
    assert undisturbed["metrics"] == job["metrics"]
    metrics = stack.client.get(f"/v1/jobs/{job_id}/metrics").json()
    assert metrics["epoch"] == list(range(1, 41))


def test_a_job_whose_process_dies_each_time_fails_and_the_queue_goes_on(stack: Stack, slow: dict[str, Any]) -> None:
    poison, next_job = stack.post(slow), stack.post(stack.example("xor_dnn"))
    for attempt in (1, 2, 3):
        await_true(lambda number=attempt: stack.job(poison)["attempt"] == number and runner_pids(stack))
        for pid in runner_pids(stack):
            os.kill(pid, signal.SIGSEGV)
        await_true(lambda number=attempt: stack.job(poison)["attempt"] > number or stack.job(poison)["terminal"])
    job = stack.follow(poison)
    assert (job["status"], job["error"]["code"], job["error"]["retryable"]) == ("failed", "worker_lost", True)
    assert stack.follow(next_job)["status"] == "succeeded"


def test_a_worker_that_is_killed_leaves_no_orphan_and_loses_no_job(stack: Stack, slow: dict[str, Any]) -> None:
    job_id = stack.post(slow | {"training": {"epochs": 300}})
    await_true(lambda: stack.job(job_id)["progress"]["step"] > 0)
    orphans = runner_pids(stack)
    (worker,) = stack.processes("-m workers")
    os.kill(worker, signal.SIGKILL)
    await_true(lambda: not any(Path(f"/proc/{pid}").exists() for pid in orphans))
    await_true(lambda: stack.job(job_id)["attempt"] == 2)
    assert stack.follow(job_id)["status"] == "succeeded"


def test_a_worker_that_is_told_to_go_hands_its_job_back(stack: Stack, slow: dict[str, Any]) -> None:
    job_id = stack.post(slow)
    await_true(lambda: stack.job(job_id)["progress"]["step"] > 0)
    (worker,) = stack.processes("-m workers")
    os.kill(worker, signal.SIGTERM)
    await_true(lambda: stack.job(job_id)["attempt"] == 2)
    stack.client.post(f"/v1/jobs/{job_id}/cancel", json={"mode": "force"})
    job = stack.follow(job_id)
    assert [passage["status"] for passage in job["history"]][:3] == ["queued", "running", "queued"]
    (requeued,) = [event for event in stack.events(job_id) if event["type"] == "job.requeued"]
    assert requeued["data"] == {"reason": "its worker is shutting down"}


def test_the_api_that_is_killed_is_started_again_and_knows_its_jobs(stack: Stack) -> None:
    job_id = stack.post(stack.example("xor_dnn"))
    for pid in stack.processes("granian"):
        os.kill(pid, signal.SIGKILL)

    def answers() -> bool:
        try:
            return bool(stack.client.get("/healthz").status_code == 200)
        except Exception:
            return False

    await_true(answers)
    assert stack.follow(job_id)["status"] == "succeeded"
