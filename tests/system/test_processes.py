"""What is killed, is run again; what is cancelled, stops; and neither harms anything else."""

import os
import resource
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from models.tables import Job
from tests.system.invariants import await_no_process
from tests.system.stack import BRIEF, LEASE_SECONDS, Stack, exists, same_result
from tests.waiting import await_true

RARE = [
    pytest.param(number, marks=pytest.mark.long)
    for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGTERM)
]


@pytest.mark.fault(19)
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
    await_true(lambda: not stack.runners())
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
    assert stack.job(waiting)["queue"] | {"eta_seconds": None} == {
        "position": 1,
        "waiting_for": "slot",
        "eta_seconds": None,
    }
    assert stack.client.post(f"/v1/jobs/{waiting}/cancel").json()["status"] == "cancelled"
    stack.client.post(f"/v1/jobs/{running}/cancel", json={"mode": "force"})
    assert stack.follow(running)["status"] == "cancelled"


@pytest.mark.fault(1)
def test_a_runner_that_is_killed_runs_again_and_the_result_is_the_same(stack: Stack) -> None:
    definition = stack.example("digits_lstm")
    job_id = stack.post(definition)
    await_true(lambda: stack.job(job_id)["progress"]["epoch"] > 0)
    for pid in stack.runners():
        os.kill(pid, signal.SIGKILL)
    job = stack.follow(job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", 2)
    assert [passage["status"] for passage in job["history"]] == ["queued", "running", "queued", "running", "succeeded"]
    same_result(stack, job_id, stack.train(definition)["id"])
    metrics = stack.client.get(f"/v1/jobs/{job_id}/metrics").json()
    assert metrics["epoch"] == list(range(1, 41))


@pytest.mark.fault(18)
def test_a_job_whose_process_dies_each_time_fails_and_the_queue_goes_on(stack: Stack, slow: dict[str, Any]) -> None:
    poison, next_job = stack.post(slow), stack.post(stack.example("xor_dnn"))
    for attempt in (1, 2, 3):
        await_true(lambda number=attempt: stack.job(poison)["attempt"] == number and stack.runners())
        for pid in stack.runners():
            os.kill(pid, signal.SIGSEGV)
        await_true(lambda number=attempt: stack.job(poison)["attempt"] > number or stack.job(poison)["terminal"])
    job = stack.follow(poison)
    assert (job["status"], job["error"]["code"], job["error"]["retryable"]) == ("failed", "worker_lost", True)
    assert stack.follow(next_job)["status"] == "succeeded"


@pytest.mark.quick_on("embedded")
@pytest.mark.fault(3)
def test_a_worker_that_is_killed_leaves_no_orphan_and_loses_no_job(stack: Stack, slow: dict[str, Any]) -> None:
    job_id = stack.post(slow)
    orphan = stack.await_runner(job_id)
    os.kill(stack.worker(), signal.SIGKILL)
    # It would train for minutes.
    await_true(lambda: not exists(orphan), 5)
    await_true(lambda: stack.job(job_id)["attempt"] == 2, 60)
    stack.await_runner(job_id)
    stack.cancel(job_id, "force")
    assert stack.follow(job_id)["status"] == "cancelled"


@pytest.mark.quick_on("production")
@pytest.mark.fault(5)
def test_a_worker_that_is_told_to_go_hands_its_job_back(stack: Stack, slow: dict[str, Any]) -> None:
    job_id = stack.post(slow)
    await_true(lambda: stack.job(job_id)["progress"]["step"] > 0)
    worker = stack.worker()
    os.kill(worker, signal.SIGTERM)
    await_true(lambda: stack.job(job_id)["attempt"] == 2)
    stack.client.post(f"/v1/jobs/{job_id}/cancel", json={"mode": "force"})
    job = stack.follow(job_id)
    assert [passage["status"] for passage in job["history"]][:3] == ["queued", "running", "queued"]
    (requeued,) = [event for event in stack.events(job_id) if event["type"] == "job.requeued"]
    assert requeued["data"] == {"reason": "its worker is shutting down"}


@pytest.mark.long
@pytest.mark.fault(5)
def test_a_worker_that_is_told_to_go_while_broker_and_database_hang_is_gone_in_time(
    stack: Stack, slow: dict[str, Any]
) -> None:
    job_id = stack.post(slow)
    runner = stack.await_runner(job_id)
    worker = stack.worker()
    with stack.broker.frozen(), hanging(stack):
        time.sleep(1)
        os.kill(worker, signal.SIGTERM)
        await_true(lambda: not exists(worker) and not exists(runner), 25)
    await_true(lambda: stack.job(job_id)["attempt"] == 2, 60)
    stack.cancel(job_id, "force")


def hanging(stack: Stack) -> Any:
    """A database that does not answer, nor refuses."""
    return stack.database.frozen() if stack.backend.name == "production" else stack.database.away()


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


@pytest.mark.fault(1)
@pytest.mark.parametrize("moment", [0.5, *(pytest.param(moment, marks=pytest.mark.long) for moment in (0.2, 1.1, 1.5))])
def test_a_runner_that_is_killed_at_any_moment_leaves_the_same_numbers(stack: Stack, moment: float) -> None:
    longer = BRIEF | {"training": {"epochs": 300}}
    job_id = stack.post(longer)
    await_true(stack.runners)
    (runner,) = stack.runners()
    time.sleep(moment)
    os.kill(runner, signal.SIGKILL)
    assert stack.follow(job_id)["status"] == "succeeded"
    same_result(stack, job_id, stack.train(longer)["id"])


@pytest.mark.quick_on("production")
@pytest.mark.fault(2)
def test_a_fork_server_that_is_killed_is_started_again_and_no_job_is_lost(stack: Stack) -> None:
    first = stack.post(BRIEF)
    stack.await_runner(first)
    (server,) = stack.fork_servers()
    second = stack.post(BRIEF)
    os.kill(server, signal.SIGKILL)
    for job_id in (first, second):
        assert stack.follow(job_id)["status"] == "succeeded"
    same_result(stack, first, second)


@pytest.mark.quick_on("embedded")
@pytest.mark.fault(2)
def test_a_job_is_cancelled_after_its_fork_server_was_killed(stack: Stack, slow: dict[str, Any]) -> None:
    job_id = stack.post(slow)
    runner = stack.await_runner(job_id)
    (server,) = stack.fork_servers()
    os.kill(runner, signal.SIGSTOP)
    os.kill(server, signal.SIGKILL)
    stack.cancel(job_id, "force")
    try:
        assert stack.follow(job_id, seconds=10)["status"] == "cancelled"
        await_true(lambda: not exists(runner), 5)
    finally:
        if exists(runner):
            os.kill(runner, signal.SIGKILL)
    # The runner that was waiting outlived the server that forked it; it takes the next job.
    assert stack.train(BRIEF)["status"] == "succeeded"


@pytest.mark.quick_on("production")
@pytest.mark.fault(4)
def test_a_worker_that_sleeps_beyond_its_lease_is_fenced_when_it_wakes(stack: Stack, slow: dict[str, Any]) -> None:
    job_id = stack.post(slow)
    runner = stack.await_runner(job_id)
    sleeper = stack.worker()
    with stack.another_worker() as other:
        stack.put_to_sleep(sleeper)
        await_true(lambda: stack.job(job_id)["attempt"] == 2)
        assert exists(runner), "the zombie trains on"
        os.kill(sleeper, signal.SIGCONT)
        await_true(lambda: not exists(runner), 5)
        time.sleep(1)
        job = stack.job(job_id)
        assert (job["status"], job["attempt"]) == ("running", 2)
        assert exists(sleeper)
        assert exists(other)


@pytest.mark.quick_on("embedded")
@pytest.mark.fault(4)
def test_a_worker_that_sleeps_alone_goes_on_when_it_wakes(stack: Stack) -> None:
    job_id = stack.post(BRIEF)
    stack.await_runner(job_id)
    worker = stack.worker()
    os.kill(worker, signal.SIGSTOP)
    time.sleep(LEASE_SECONDS + 1)
    os.kill(worker, signal.SIGCONT)
    assert stack.follow(job_id)["status"] == "succeeded"
    same_result(stack, job_id, stack.train(BRIEF)["id"])


@pytest.mark.long
@pytest.mark.fault(5)
def test_a_hand_over_is_no_attempt_that_counts(stack: Stack, slow: dict[str, Any]) -> None:
    job_id = stack.post(slow)
    stack.await_runner(job_id)
    with stack.another_worker():
        asked = time.monotonic()
        os.kill(stack.worker(), signal.SIGTERM)
        await_true(lambda: stack.job(job_id)["attempt"] == 2)
        assert time.monotonic() - asked < 10
        stack.await_runner(job_id)
        with stack.reading() as connection:
            assert connection.scalar(select(Job.fruitless).where(Job.id == job_id)) == 1
        await_true(stack.worker_is_up, 30)


@pytest.mark.long
@pytest.mark.fault(5)
def test_a_job_that_was_handed_over_more_often_than_it_may_fail_still_succeeds(stack: Stack) -> None:
    definition = BRIEF | {"training": {"epochs": 1500}}
    job_id = stack.post(definition)
    for attempt in range(1, 6):
        await_true(lambda number=attempt: stack.job(job_id)["attempt"] == number, 60)
        stack.await_runner(job_id)
        os.kill(stack.worker(), signal.SIGTERM)
    job = stack.follow(job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", 6)


@pytest.mark.quick_on("production")
@pytest.mark.fault(17)
@pytest.mark.parametrize("number", [signal.SIGKILL, *RARE])
def test_however_a_process_dies_its_job_runs_again_and_says_why(stack: Stack, number: signal.Signals) -> None:
    """KILL is what the kernel sends when memory is out."""
    job_id = stack.post(BRIEF)
    os.kill(stack.await_runner(job_id), number)
    job = stack.follow(job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", 2)
    (requeued,) = [event for event in stack.events(job_id) if event["type"] == "job.requeued"]
    assert requeued["data"] == {"reason": f"its process died (signal {number.value})"}


@pytest.mark.fault(17)
def test_a_job_that_needs_more_memory_than_there_is_fails_and_says_so(stack: Stack) -> None:
    """Its processes may have no more than they have already and a little: the next large tensor finds no room. The
    second attempt is made lest another job had the memory."""
    await_true(lambda: stack.forked() and stack.fork_servers())
    wide = {"network": {"family": "dnn", "hidden": [6000, 6000]}, "data": {"dataset": "xor"}, "training": {"epochs": 1}}
    try:
        for pid in stack.forked():
            in_use = 4096 * int(Path(f"/proc/{pid}/statm").read_text().split()[0])
            resource.prlimit(pid, resource.RLIMIT_AS, (in_use + 100_000_000, resource.RLIM_INFINITY))
        job = stack.train(wide)
    finally:
        for pid in stack.forked():
            resource.prlimit(pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert (job["status"], job["error"]["code"], job["attempt"]) == ("failed", "out_of_memory", 2)
    assert stack.train(BRIEF)["status"] == "succeeded"


@pytest.mark.quick_on("embedded")
@pytest.mark.fault(17)
def test_a_runner_that_hangs_is_killed_and_its_job_runs_again(stack: Stack) -> None:
    job_id = stack.post(BRIEF)
    os.kill(stack.await_runner(job_id), signal.SIGSTOP)
    job = stack.follow(job_id, seconds=40)
    assert (job["status"], job["attempt"]) == ("succeeded", 2)


@pytest.mark.fault(17)
def test_a_job_that_hangs_in_native_code_is_cancelled_within_five_seconds(stack: Stack) -> None:
    """One step of it takes a minute, and no Python runs meanwhile."""
    minute = {
        "network": {"family": "dnn", "hidden": [4096] * 4},
        "data": {"dataset": "xor", "parameters": {"rows": 6000}},
        "training": {"epochs": 1, "batch_size": 4800},
        "resources": {"threads": 1},
    }
    job_id = stack.post(minute)
    await_true(lambda: stack.client.get(f"/v1/jobs/{job_id}/layers").json()["items"])
    time.sleep(0.5)
    (runner,) = stack.runners()
    asked = time.monotonic()
    stack.cancel(job_id)
    assert stack.follow(job_id)["status"] == "cancelled"
    await_true(lambda: not exists(runner))
    assert time.monotonic() - asked < 5
    assert stack.job(job_id)["progress"]["step"] == 0


@pytest.mark.quick_on("embedded")
@pytest.mark.fault(22)
def test_a_service_that_is_killed_as_a_whole_leaves_no_process_and_goes_on_when_it_is_back(
    stack: Stack, slow: dict[str, Any]
) -> None:
    running = stack.post(BRIEF | {"training": {"epochs": 300}})
    waiting = stack.post(BRIEF)
    stack.await_runner(running)
    stack.kill()
    await_no_process(stack)
    stack.start()
    for job_id in (running, waiting):
        assert stack.follow(job_id)["status"] == "succeeded"
    same_result(stack, waiting, stack.train(BRIEF)["id"])
