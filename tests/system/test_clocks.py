"""A worker whose clock is an hour off neither loses its jobs nor takes those of others: leases are kept by the
clock of PostgreSQL, or by the time since the machine's start.

Also: a process that leaves by `_exit` in the middle of its work, which no signal tells of.
"""

import os
import signal
import time
from typing import Any

import pytest

from tests.system.conftest import compiled
from tests.system.stack import BRIEF, LEASE_SECONDS, Stack, same_result
from tests.waiting import await_true


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The library that is preloaded."""
    return compiled("shim", tmp_path_factory.mktemp("shim"))


@pytest.mark.quick_on("production")
@pytest.mark.fault(16)
@pytest.mark.parametrize("hours", [1, pytest.param(-1, marks=pytest.mark.long)])
def test_a_worker_whose_clock_is_an_hour_off_keeps_its_job_and_takes_no_other(
    stack: Stack, shim: str, hours: int, slow: dict[str, Any]
) -> None:
    kept = stack.post(slow)
    stack.await_runner(kept)
    with stack.another_worker(LD_PRELOAD=shim, SHIFT_SECONDS=str(3600 * hours)):
        job_id = stack.post(BRIEF | {"training": {"epochs": 300}})
        # Longer than a lease: time enough for either to be swept by the other.
        await_true(lambda: stack.job(job_id)["terminal"], 60)
        time.sleep(LEASE_SECONDS)
        job = stack.job(job_id)
        assert (job["status"], job["attempt"]) == ("succeeded", 1)
        assert stack.job(kept)["attempt"] == 1
        if stack.backend.name == "production":
            # SQLite has no clock but that of the process that asks.
            assert job["finished_at"] >= job["started_at"] >= job["created_at"]


@pytest.mark.quick_on("embedded")
@pytest.mark.fault(17)
def test_a_process_that_leaves_without_a_word_has_its_job_run_again(stack: Stack, shim: str) -> None:
    with stack.worker_asleep(), stack.another_worker(LD_PRELOAD=shim):
        job_id = stack.post(BRIEF)
        os.kill(stack.await_runner(job_id), signal.SIGUSR2)
        job = stack.follow(job_id)
        assert (job["status"], job["attempt"]) == ("succeeded", 2)
        (requeued,) = [event for event in stack.events(job_id) if event["type"] == "job.requeued"]
        assert requeued["data"] == {"reason": "its process died (exit code 3)"}
    same_result(stack, job_id, stack.train(BRIEF)["id"])
