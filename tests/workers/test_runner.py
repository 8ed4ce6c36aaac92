"""A runner, forked by a real fork server: what it hears, what it leaves behind, and what it says of an error."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from models.definitions.job import JobDefinition
from models.errors import DescentError
from models.reports import Checkpointed, Ended, FirstStep, Report, Resumed
from workers import process
from workers.failures import error_of
from workers.runner import Asked
from workers.training.checkpoints import Checkpoints
from workers.training.job import train_job

NETWORK = {"family": "dnn", "hidden": [8], "dropout": 0.2}
JOB = JobDefinition.model_validate({"network": NETWORK, "data": {"dataset": "xor"}, "training": {"epochs": 300}})


def attempt(folder: Path, number: int, resume_from: str | None, asks: str | None) -> list[Report]:
    """The reports of a process of its own, which is asked after its first step."""
    runner = process.RunnerProcess(rehearses=False)
    runner.begin(JOB, "", Path(), 2**30, Checkpoints(folder, number, 60.0, resume_from))
    found: list[Report] = []
    for reports in runner.reports():
        found += reports
        if asks and any(isinstance(report, FirstStep) for report in reports):
            assert Path(f"/proc/{runner.pid}/oom_score_adj").read_text().strip() == "1000"
            runner._control.send(asks)
    runner.close()
    return found


@pytest.mark.parametrize(("asks", "outcome"), [("pause", "paused"), ("leave", "left")])
def test_another_process_goes_on_where_one_was_asked_to_end(asks: str, outcome: str, tmp_path: Path) -> None:
    process.start_server()
    *_, written, end = attempt(tmp_path, 1, None, asks)
    assert isinstance(written, Checkpointed)
    assert isinstance(end, Ended)
    assert end.outcome == outcome
    first, *_, last = attempt(tmp_path, 2, written.name, None)
    assert isinstance(first, Resumed)
    assert first.step == written.step > 0
    assert isinstance(last, Ended)
    alone: list[Report] = []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the definition has it
    train_job(JOB, Path(), torch.device("cpu"), alone.append, lambda: None)
    torch.set_num_threads(threads)
    assert isinstance(alone[-1], Ended)
    assert (last.outcome, last.weights_sha256, last.runs) == ("succeeded", alone[-1].weights_sha256, alone[-1].runs)


def test_a_runner_may_be_killed_while_another_thread_closes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    process.start_server()
    runner = process.RunnerProcess(rehearses=False)
    pidfd, wrong, threads = runner._pidfd, list[Exception](), list[threading.Thread]()

    def kill() -> None:
        try:
            runner.kill()
        except Exception as problem:
            wrong.append(problem)

    def close(descriptor: int) -> None:
        real_close(descriptor)
        if descriptor == pidfd:
            threads.append(threading.Thread(target=kill))
            threads[-1].start()
            threads[-1].join(0.2)

    real_close = os.close
    monkeypatch.setattr(os, "close", close)
    runner.close()
    for thread in threads:
        thread.join()
    assert (len(threads), wrong) == (1, [])


def test_what_is_asked_last_counts_but_for_a_cancel() -> None:
    asked = Asked()
    heard = []
    for what in ("nonsense", "pause", "leave", "pause", "cancel", "leave"):
        asked.hear(what)
        heard.append(asked())
    assert heard == [None, "pause", "leave", "pause", "cancel", "cancel"]


NO_MEMORY = "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried 8 bytes."
NOT_ENOUGH = "DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."


@pytest.mark.parametrize(
    ("problem", "code", "kind", "retryable"),
    [
        (MemoryError(), "out_of_memory", "memory", True),
        (torch.OutOfMemoryError("CUDA out of memory"), "out_of_memory", "memory", True),
        (RuntimeError(NO_MEMORY), "out_of_memory", "memory", True),
        (RuntimeError(NOT_ENOUGH), "out_of_memory", "memory", True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "out_of_memory", "memory", True),
        (OSError(errno.ENOSPC, "No space left on device"), "machine_error", "infrastructure", True),
        (OSError("something else"), "training_error", "infrastructure", False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), "training_error", "infrastructure", False),
        (DescentError("the file is gone"), "data_unavailable", "data", True),
    ],
)  # fmt: skip
def test_an_error_says_whether_another_attempt_may_fare_better(
    problem: Exception, code: str, kind: str, retryable: bool
) -> None:
    found: dict[str, Any] = error_of(problem)
    assert (found["code"], found["class"], found["retryable"]) == (code, kind, retryable)


def test_supervisors_can_hand_checkpoints_over_without_torch() -> None:
    code = "import sys, workers.training.checkpoints; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
