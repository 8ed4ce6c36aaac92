"""Several processes train what one trains with the same batches, to 1e-5; and what is lost ends the attempt."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import cache, partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from models.capacity import Capacity
from models.catalogue import shape_of_data
from models.definitions.job import JobDefinition
from models.misfits import misfits
from models.reports import Checkpointed, Ended, EpochEnded, FirstStep, Incident, Progress, Report, Sampled
from models.series import Chunk
from workers import process
from workers.failures import error_of
from workers.process import RunnerProcess
from workers.rank import Crew
from workers.training.checkpoints import Checkpoints
from workers.training.job import Trainer
from workers.training.parts import Resident
from workers.training.ranks import Several
from workers.training.stopwatch import Stopwatch

DIGITS, ROWS, DIABETES = {"dataset": "digits"}, {"dataset": "digits_rows"}, {"dataset": "diabetes"}
DNN = {"family": "dnn", "hidden": [16, 8], "activation": "tanh"}
SGD = {"kind": "sgd", "learning_rate": 0.05, "momentum": 0.9}
AUTOENCODER = {"kind": "autoencoder", "epochs": 2}
# 1437 rows of the digits, so that the last batch has 29 rows of 64, and 2 of 35.
CASES: dict[str, dict[str, Any]] = {
    "dnn": {"network": DNN, "data": DIGITS},
    "maxout": {"network": DNN | {"activation": "maxout"}, "data": DIGITS},
    "cnn": {"network": {"family": "cnn", "blocks": [{"filters": 4, "pool": "max"}], "hidden": [8]}, "data": DIGITS},
    "lstm": {"network": {"family": "rnn", "cell": "lstm", "hidden": 8}, "data": ROWS},
    "gru": {"network": {"family": "rnn", "cell": "gru", "hidden": 8, "bidirectional": True}, "data": ROWS},
    "regression": {"network": DNN, "data": DIABETES},
    "accumulate and clip": {"network": DNN, "data": DIGITS, "training": {"accumulate": 3, "clip": {"norm": 0.1}}},
    "class weights": {"network": DNN, "data": DIGITS,
                      "training": {"class_weights": [*map(float, range(1, 11))], "label_smoothing": 0.1}},
    "batch norm": {"network": {"family": "cnn", "blocks": [{"filters": 4}], "hidden": [8], "norm": "batch",
                               "bias": False}, "data": DIGITS},
    "small batches": {"network": {"family": "cnn", "blocks": [{"filters": 4}], "norm": "batch", "bias": False},
                      "data": DIGITS, "training": {"batch_size": 29}},
    "pre-training": {"network": DNN, "data": DIGITS,
                     "training": {"pretraining": AUTOENCODER}},
}  # fmt: skip


def definition_of(case: dict[str, Any], processes: int, **training: Any) -> JobDefinition:
    asked = {"epochs": 2, "batch_size": 35, "optimizer": SGD} | case.get("training", {}) | training
    resources = {"device": "cpu", "processes": processes}
    gradients = {"every_steps": 7}
    return JobDefinition.model_validate({**case, "training": asked, "resources": resources, "gradients": gradients})


Result = tuple[list[Report], dict[str, NDArray[Any]]]


def trained(case: dict[str, Any], processes: int, folder: Path, **training: Any) -> Result:
    """What a job reports, and the weights it ends with, of rank 0 in a process of its own."""
    ours, theirs = process._context.Pipe()
    definition = definition_of(case, processes, **training)
    child = process._context.Process(target=_rank_0, args=(theirs, definition, folder), daemon=True)
    child.start()
    theirs.close()
    result: Result = ours.recv()
    child.join()
    return result


def _rank_0(pipe: Connection, definition: JobDefinition, folder: Path) -> None:
    crew = Crew(definition.resources.ranks, partial(_train, definition, folder), error_of, (pipe,))
    crew.watch(print)
    pipe.send(_train(definition, folder, crew, 0))
    crew.close()


def _train(definition: JobDefinition, folder: Path, crew: Crew, rank: int) -> Result:
    torch.set_num_threads(1)
    device, reports = torch.device("cpu"), list[Report]()
    ranks = crew.join(rank, device)
    job = Trainer.prepare(definition, folder, device, reports.append, lambda: None, Stopwatch(), ranks=ranks)
    job.run()
    assert job.network is not None
    return reports, {name: value.numpy() for name, value in job.network.state_dict().items()}


@pytest.fixture(scope="module", autouse=True)
def server() -> None:
    process.start_server()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("processes", [2, 3])
def test_several_processes_train_what_one_does(folder: Path, name: str, processes: int) -> None:
    reports, weights = trained(CASES[name], processes, folder)
    expected, expected_weights = by_one(name, folder)
    assert weights.keys() == expected_weights.keys()
    for tensor, value in weights.items():
        np.testing.assert_allclose(value, expected_weights[tensor], rtol=1e-5, atol=1e-5)
    assert len(metrics_of(reports)) == len(metrics_of(expected)) == 2
    for metrics, of_one in zip(metrics_of(reports), metrics_of(expected), strict=True):
        assert metrics == pytest.approx(of_one, rel=1e-5, abs=1e-5, nan_ok=True)
    for series in ("tensors", "layers", "time", "steps"):
        steps, values = samples_of(reports, series)
        steps_of_one, values_of_one = samples_of(expected, series)
        assert steps == steps_of_one
        finite = np.isfinite(values_of_one)  # the first step of a bias of 0 is infinitely large beside it
        assert (np.isfinite(values) == finite).all()
        tolerance = 1e-3 if series == "steps" else 1e-5  # rho divides a difference of losses that are nearly equal
        scale = np.abs(values_of_one).max(axis=(0, 2), keepdims=True, where=finite, initial=1e-9)
        np.testing.assert_allclose(np.where(finite, values, 0) / scale, np.where(finite, values_of_one, 0) / scale,
                                   rtol=tolerance, atol=tolerance)  # fmt: skip


@cache
def by_one(name: str, folder: Path) -> Result:
    return trained(CASES[name], 1, folder)


def metrics_of(reports: list[Report]) -> list[dict[str, float | None]]:
    return [report.metrics for report in reports if isinstance(report, EpochEnded)]


def samples_of(reports: list[Report], series: str) -> tuple[list[int], NDArray[Any]]:
    chunks = [Chunk.decode(one.data) for one in reports if isinstance(one, Sampled) and one.series == series]
    steps = [int(step) for chunk in chunks for step in chunk.steps]
    return steps, np.concatenate([chunk.values for chunk in chunks]) if chunks else np.zeros((0, 1, 1))


def test_a_step_that_is_not_finite_stops_all_ranks(folder: Path) -> None:
    """And is taken once more by all of them together, to find where it began."""
    large = {"family": "dnn", "hidden": [8], "activation": "relu", "init": {"kind": "normal", "std": 1e6}}
    case = {"network": large, "data": {"dataset": "diabetes", "parameters": {}, "normalise": "none"}}
    reports, weights = trained(case, 2, folder, optimizer={"kind": "sgd", "learning_rate": 1e6})
    assert [report.count for report in reports if isinstance(report, Incident)] == [1]
    assert all(np.isfinite(value).all() for value in weights.values())


def test_dropout_is_another_on_each_rank_and_the_job_repeats_itself(folder: Path) -> None:
    case = {"network": DNN | {"dropout": 0.3}, "data": DIGITS}
    (_, weights), (_, again) = (trained(case, 2, folder, epochs=1) for _ in range(2))
    assert all((weights[name] == again[name]).all() for name in weights)


class OneOfThree(Several):
    """A rank by name alone."""

    def __init__(self, rank: int) -> None:
        self.rank, self.size = rank, 3


@pytest.mark.parametrize("rows", [9, 10, 11, 13])
def test_the_shares_of_all_ranks_are_the_batch(rows: int) -> None:
    part = Resident(y=torch.arange(rows), x=torch.arange(rows)[:, None])
    order = torch.randperm(rows)
    shares = [list(OneOfThree(rank).batches(part, order, 4, 4)) for rank in range(3)]
    whole = list(part.batches(order, 4, 4))
    assert len(whole) == len(shares[0]) == len(shares[2])
    for (x, y), *ranks in zip(whole, *shares, strict=True):
        assert torch.cat([of_rank for of_rank, _ in ranks]).tolist() == x.tolist()
        assert all(targets.tolist() == y.tolist() for _, targets in ranks)
        assert [len(OneOfThree(rank).own(y)) for rank in range(3)] == [len(of_rank) for of_rank, _ in ranks]


@pytest.mark.parametrize(
    ("resources", "code"),
    [
        ({"device": "cpu", "gpus": 2}, "no_gpus"),
        ({"processes": 2}, "not_on_cpu"),
        ({"gpus": 40}, "too_few_rows"),
        ({"device": "cpu", "processes": 40}, "too_few_rows"),
    ],
)
def test_ranks_with_nothing_to_do_are_refused(resources: dict[str, Any], code: str) -> None:
    asked = {"network": DNN, "data": DIGITS, "training": {"batch_size": 32}, "resources": resources}
    definition = JobDefinition.model_validate(asked)
    problems = list(misfits(definition, shape_of_data(definition.data), Capacity(2**40)))
    assert [problem.code for problem in problems] == [code]
    assert problems[0].pointer.removeprefix("/resources/") in resources


LONG = definition_of(CASES["dnn"], 3, epochs=100_000)


@pytest.fixture
def runner(folder: Path) -> Iterator[RunnerProcess]:
    """One that has rehearsed, as on a worker without GPUs, and now trains a long job with two further ranks."""
    runner = RunnerProcess(rehearses=True)
    runner.await_ready()
    runner.begin(LONG, "", folder, 2**30)
    yield runner
    runner.close()


def reach_first_step(runner: RunnerProcess) -> list[int]:
    """The pids of all ranks, when all train."""
    for reports in runner.reports():
        if any(isinstance(report, FirstStep) for report in reports):
            break
    children = Path(f"/proc/{runner.pid}/task/{runner.pid}/children").read_text(encoding="utf-8")
    pids = [runner.pid, *map(int, children.split())]
    assert len(pids) == 3
    return pids


def last_report(runner: RunnerProcess) -> Report | None:
    """When the runner has closed its pipe."""
    last: Report | None = None
    for reports in runner.reports():
        last = reports[-1]
    return last


def are_gone(pids: list[int]) -> bool:
    return not any(map(is_running, pids))


def is_running(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z"


def eventually(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    ends_at = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > ends_at:
            return False
        time.sleep(0.01)
    return True


@pytest.mark.parametrize("lost", [1, 2])
def test_a_lost_rank_ends_the_attempt_at_once_and_leaves_no_process(runner: RunnerProcess, lost: int) -> None:
    pids = reach_first_step(runner)
    os.kill(pids[lost], signal.SIGKILL)
    killed_at = time.monotonic()
    assert not isinstance(last_report(runner), Ended)
    assert time.monotonic() - killed_at < 3
    assert eventually(lambda: are_gone(pids))
    assert runner.close() == 1


def test_a_killed_runner_takes_its_ranks_along(runner: RunnerProcess) -> None:
    pids = reach_first_step(runner)
    os.kill(runner.pid, signal.SIGKILL)
    assert eventually(lambda: are_gone(pids))


def test_a_cancel_reaches_all_ranks_at_the_same_step(runner: RunnerProcess) -> None:
    pids = reach_first_step(runner)
    runner.ask("cancel")
    asked_at = time.monotonic()
    ended = last_report(runner)
    assert isinstance(ended, Ended)
    assert ended.outcome == "cancelled"
    assert time.monotonic() - asked_at < 3
    assert eventually(lambda: are_gone(pids))
    assert runner.close() == 0


RESUMED = definition_of({"network": DNN | {"dropout": 0.3}, "data": DIGITS}, 2, epochs=12, pretraining=AUTOENCODER)


def ended(folder: Path, checkpoints: Checkpoints, request: str | None = None) -> tuple[Ended, list[Report]]:
    """How an attempt ends that is asked for something after it has reported a step."""
    runner = RunnerProcess(rehearses=False)
    runner.await_ready()
    runner.begin(RESUMED, "", folder, 2**30, checkpoints)
    told: list[Report] = []
    for reports in runner.reports():
        told += reports
        if request and any(isinstance(report, Progress | FirstStep | EpochEnded) for report in reports):
            runner._control.send(request)
    runner.close()
    last = told[-1]
    assert isinstance(last, Ended)
    return last, told


def test_a_job_of_two_ranks_goes_on_bit_for_bit(folder: Path, tmp_path: Path) -> None:
    """Dropout and pre-training included, through a pause in the midst of each of several attempts."""
    undisturbed, _ = ended(folder, Checkpoints(tmp_path / "undisturbed", 1, 60.0))
    resume_from: str | None = None
    for attempt in range(1, 20):
        here = Checkpoints(tmp_path / "disturbed", attempt, 0.1, resume_from)
        end, told = ended(folder, here, "pause" if attempt <= 3 else None)
        if end.outcome == "succeeded":
            break
        assert end.outcome == "paused"
        resume_from = [report.name for report in told if isinstance(report, Checkpointed)][-1]
    assert attempt > 2
    assert end.weights_sha256 == undisturbed.weights_sha256 is not None
    assert end.runs == undisturbed.runs
