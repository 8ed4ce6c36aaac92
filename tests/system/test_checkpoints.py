"""A checkpoint is there as a whole or not at all, and one that cannot be written costs nothing but time."""

import os
import resource
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.system.stack import Stack, same_result, state_of
from tests.waiting import await_true

HEAVY: dict[str, Any] = {
    "network": {"family": "dnn", "hidden": [1400, 1400]},
    "data": {"dataset": "digits"},
    "training": {"epochs": 25, "batch_size": 128, "optimizer": {"kind": "adam", "learning_rate": 0.001}},
}
"""Two million parameters; a checkpoint of 35 MB is written each second, and takes a tenth of one."""


def folder_of(stack: Stack, job_id: str) -> Path:
    return stack.data / "checkpoints" / job_id


def stop_while_it_writes(stack: Stack, job_id: str) -> int:
    """The job's runner, stopped while its next checkpoint is half written."""
    folder = folder_of(stack, job_id)
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if not list(folder.glob("*.tmp")):
            time.sleep(0.001)
            continue
        (runner,) = stack.runners()
        os.kill(runner, signal.SIGSTOP)
        while state_of(runner) != "T":
            time.sleep(0.001)
        if list(folder.glob("*.tmp")):
            return runner
        os.kill(runner, signal.SIGCONT)
    raise TimeoutError("no checkpoint was met half written")


def checkpoints(stack: Stack, job_id: str) -> list[dict[str, Any]]:
    return [event for event in stack.events(job_id) if event["type"] == "job.checkpoint"]


def first_epochs(stack: Stack, job_id: str) -> dict[int, int]:
    """The first epoch that each attempt ended."""
    told = [
        (event["attempt"], event["data"]["epoch"]) for event in stack.events(job_id) if event["type"] == "job.epoch"
    ]
    return {attempt: min(epoch for its, epoch in told if its == attempt) for attempt, _ in told}


@pytest.mark.quick_on("embedded")
@pytest.mark.fault(1)
def test_a_runner_that_is_killed_while_it_writes_a_checkpoint_goes_on_from_the_one_before(stack: Stack) -> None:
    job_id = stack.post(HEAVY)
    os.kill(stop_while_it_writes(stack, job_id), signal.SIGKILL)
    # The first was torn: the job begins anew. The next that is torn has one before it.
    await_true(lambda: checkpoints(stack, job_id), 60)
    os.kill(stop_while_it_writes(stack, job_id), signal.SIGKILL)
    assert list(folder_of(stack, job_id).glob("*.tmp"))
    before = checkpoints(stack, job_id)[-1]["data"]
    job = stack.follow(job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", 3)
    assert first_epochs(stack, job_id)[3] == before["epoch"] + 1
    # What was torn went with the checkpoint after it.
    assert [path.suffix for path in folder_of(stack, job_id).iterdir()] == [".pt"]
    same_result(stack, job_id, stack.train(HEAVY)["id"])


@pytest.mark.quick_on("production")
@pytest.mark.fault(15)
def test_a_checkpoint_that_cannot_be_written_does_not_stop_training_and_is_told(stack: Stack) -> None:
    """Files of its process may not grow beyond a part of a checkpoint."""
    job_id = stack.post(HEAVY)
    await_true(stack.runners)
    (runner,) = stack.runners()
    resource.prlimit(runner, resource.RLIMIT_FSIZE, (20_000_000, resource.RLIM_INFINITY))
    await_true(lambda: checkpoints(stack, job_id), 60)
    assert "failed" in checkpoints(stack, job_id)[0]["data"]
    assert not list(folder_of(stack, job_id).iterdir())
    resource.prlimit(runner, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await_true(lambda: "failed" not in checkpoints(stack, job_id)[-1]["data"], 60)
    job = stack.follow(job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", 1)
    same_result(stack, job_id, stack.train(HEAVY)["id"])
