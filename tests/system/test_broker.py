"""The broker carries no job, so nothing that happens to it loses one, delays a POST, or runs a job twice."""

import os
import signal
import subprocess
import time
from contextlib import suppress
from typing import Any

import pytest

from models.queue import create_connection, ring
from models.settings import read_settings
from tests.system.stack import Stack
from tests.waiting import await_true

TINY: dict[str, Any] = {
    "network": {"family": "dnn", "hidden": [4]},
    "data": {"dataset": "xor"},
    "training": {"epochs": 2},
}


def post_in_time(stack: Stack) -> str:
    """Posts a job, which takes no longer than is promised."""
    began = time.monotonic()
    job_id = stack.post(TINY)
    assert time.monotonic() - began < 1.5
    return job_id


def all_succeed(stack: Stack, jobs: list[str], seconds: float = 60) -> None:
    for job_id in jobs:
        assert stack.follow(job_id, seconds=seconds)["status"] == "succeeded"


@pytest.mark.fault(6)
def test_a_broker_that_is_killed_and_comes_back_empty_loses_no_job(stack: Stack, slow: dict[str, Any]) -> None:
    blocker = stack.post(slow)
    stack.await_runner(blocker)
    before = [post_in_time(stack) for _ in range(3)]
    with stack.broker.away():
        meanwhile = [post_in_time(stack) for _ in range(3)]
    stack.cancel(blocker, "force")
    all_succeed(stack, before + meanwhile + [post_in_time(stack)])


@pytest.mark.fault(7)
def test_a_broker_whose_queue_is_emptied_loses_no_job(stack: Stack, slow: dict[str, Any]) -> None:
    blocker = stack.post(slow)
    stack.await_runner(blocker)
    jobs = [post_in_time(stack) for _ in range(5)]
    stack.broker.flush()
    stack.cancel(blocker, "force")
    all_succeed(stack, jobs)


@pytest.mark.fault(8)
def test_a_post_is_answered_in_time_while_the_broker_is_frozen(stack: Stack) -> None:
    with stack.broker.frozen():
        jobs = [post_in_time(stack) for _ in range(5)]
        # Without being rung a worker finds them, long before the minute that is promised.
        all_succeed(stack, jobs, seconds=30)
    all_succeed(stack, [post_in_time(stack)])


@pytest.mark.quick_on("production")
@pytest.mark.fault(9)
def test_api_and_worker_start_while_the_broker_is_away(stack: Stack) -> None:
    with stack.broker.away():
        for pid in (stack.worker(), *stack.processes("granian")):
            os.kill(pid, signal.SIGKILL)
        stack.await_ready()
        if stack.backend.name == "production":
            assert stack.client.get("/readyz").json()["degraded"] == ["broker"]
        all_succeed(stack, [post_in_time(stack)])
    await_true(lambda: stack.client.get("/readyz").json()["degraded"] == [])
    all_succeed(stack, [post_in_time(stack)])


@pytest.mark.fault(10)
@pytest.mark.parametrize("bounces", [3, pytest.param(12, marks=pytest.mark.long)])
def test_a_broker_that_bounces_loses_no_job_and_kills_no_worker(stack: Stack, bounces: int) -> None:
    worker = stack.worker()
    jobs = []
    for _ in range(bounces):
        with stack.broker.away():
            jobs += [post_in_time(stack) for _ in range(3)]
            time.sleep(0.3)
        jobs += [post_in_time(stack) for _ in range(3)]
        time.sleep(0.3)
    all_succeed(stack, jobs)
    stack.await_ready()
    assert stack.worker() == worker


@pytest.mark.fault(11)
def test_an_api_that_is_killed_between_commit_and_ring_loses_no_job(stack: Stack) -> None:
    with stack.broker.frozen():
        # The ring waits for the broker (on files it may be faster than the kill), the commit does not.
        job_id = post_in_time(stack)
        for pid in stack.processes("granian"):
            os.kill(pid, signal.SIGKILL)
        await_true(lambda: not stack.answers())
    await_true(stack.answers)
    all_succeed(stack, [job_id])


@pytest.mark.fault(12)
def test_a_hundred_rings_run_a_job_once(stack: Stack) -> None:
    job_id = stack.post(TINY)
    with create_connection(read_settings(stack.environment)) as connection:
        for _ in range(100):
            ring(connection)
    all_succeed(stack, [job_id])
    assert stack.event_types(job_id) == ["job.queued", "job.started", "job.succeeded"]


@pytest.mark.fault(9)
@pytest.mark.long
def test_jobs_run_within_a_minute_without_any_broker_at_all(stack: Stack) -> None:
    with stack.broker.away():
        began = time.monotonic()
        for _ in range(8):
            all_succeed(stack, [post_in_time(stack)])
            time.sleep(5)
        assert time.monotonic() - began < 60


@pytest.mark.fault(8)
@pytest.mark.parametrize("how", ["full", "read-only"])
def test_a_folder_of_messages_that_takes_none_loses_no_job(embedded: Stack, how: str) -> None:
    folder = embedded.broker.folder / "messages"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=False).returncode:
        pytest.skip("only root may mount a file system")
    try:
        if how == "full":
            with suppress(OSError):
                (folder / "ballast").write_bytes(bytes(100_000))
        else:
            subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        all_succeed(embedded, [post_in_time(embedded) for _ in range(5)])
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
    all_succeed(embedded, [post_in_time(embedded)])
