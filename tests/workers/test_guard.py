"""An update that is not finite is never applied; where it began is found, told, and met as the policy says."""

import itertools
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.definitions.job import JobDefinition
from models.reports import Ended, EpochEnded, Incident, Report, Sampled
from models.series import Chunk
from tests.workers.test_checkpoints import Jobs, at, one_thread, undisturbed
from workers.checkpoint_files import CheckpointFiles
from workers.datasets.arrays import mapped
from workers.training import native
from workers.training.checkpoints import Checkpoints
from workers.training.epoch import Epoch
from workers.training.job import Trainer, train_job
from workers.training.loop import Loop
from workers.training.recorder import UNSAMPLED
from workers.training.stopwatch import Stopwatch

__all__ = ["one_thread"]

CPU = torch.device("cpu")
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"kind": "sgd"},
    "momentum": {"kind": "sgd", "momentum": 0.9},
    "adam": {"kind": "adam"},
    "adamw": {"kind": "adamw"},
    "rmsprop": {"kind": "rmsprop", "momentum": 0.5},
    "adagrad": {"kind": "adagrad"},
}
NORMED = {"family": "dnn", "hidden": [8, 8], "norm": "batch", "dropout": 0.2}
LARGE = {"family": "dnn", "hidden": [64] * 10, "activation": "relu", "init": {"kind": "normal", "std": 0.3}}
"""As in the textbook: explodes within a few steps of SGD."""
SGD = {"epochs": 3, "optimizer": {"kind": "sgd", "learning_rate": 0.1}}
PLAIN = {"dataset": "digits", "normalise": "none", "validation": None}
BATCH = 4
LATE = 150
"""A step."""


def a_job(network: Any = NORMED, data: Any = PLAIN, policy: str | None = None, **training: Any) -> JobDefinition:
    policies = {"policies": {"nonfinite": policy}} if policy else {}
    return JobDefinition.model_validate({"network": network, "data": data, "training": training, **policies})


def reported(job: JobDefinition, datasets: Path, checkpoints: Checkpoints | None = None) -> list[Report]:
    reports: list[Report] = []
    train_job(job, datasets, CPU, reports.append, lambda: None, checkpoints=checkpoints)
    return reports


def of(kind: type[Any], reports: list[Report]) -> list[Any]:
    return [report for report in reports if isinstance(report, kind)]


def spoilt(folder: Path, path: Path, name: str, spoil: Callable[[Any, Any], None]) -> Path:
    """The data sets, of which one is spoilt."""
    arrays = mapped(name, folder)
    x, y = np.array(arrays.x), np.array(arrays.y)
    spoil(x, y)
    (path / name).mkdir(parents=True)
    for array, values in (("x", x), ("y", y)):
        np.save(path / name / f"{array}.npy", values)
    return path


def row_of_step(step: int, rows: int = 1797) -> int:
    """One of a batch of the first epoch."""
    return int(torch.randperm(rows, generator=torch.Generator().manual_seed(0))[step * BATCH + 1])


@pytest.fixture(scope="module")
def poisoned(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits with a NaN in a row that comes in the step LATE."""

    def poison(x: Any, y: Any) -> None:
        x[row_of_step(LATE)].flat[7] = np.nan

    return spoilt(folder, tmp_path_factory.mktemp("poisoned"), "digits", poison)


@pytest.fixture(params=["host", "device"])
def guard(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which of the two decides; without the compiled library the CPU does as a GPU."""
    if request.param == "device":
        monkeypatch.setattr(native, "LIBRARY", None)
    return str(request.param)


@pytest.mark.usefixtures("guard")
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_update_of_a_poisoned_step_is_never_applied(folder: Path, optimizer: str) -> None:
    """Weights, moments, step counter and running statistics are what they were, bit for bit; then it goes on."""
    job = a_job(data={"dataset": "digits"}, optimizer=OPTIMIZERS[optimizer], weight_decay=0.1, batch_size=16)
    trainer = Trainer.prepare(job, folder, CPU, lambda report: None, lambda: None, Stopwatch())
    trainer.network = trainer.build_network()
    loop = trainer.loop(0)
    batches = loop.steps_of_epoch()
    for step in itertools.islice(batches, 3):
        loop.step(step, UNSAMPLED, lambda *_: None)

    def written() -> list[bytes]:
        kept = [loop.optimizer.values, loop.optimizer.steps, *loop.optimizer.vectors.values(), *loop.network.buffers()]
        return [tensor.numpy().tobytes() for tensor in kept if tensor.is_floating_point()]

    before = written()
    x, y = next(batches)[0]
    x.view(-1)[3] = math.nan
    loop.step([(x, y)], UNSAMPLED, lambda *_: None)
    assert written() == before
    if loop.guard.tensors():
        loop.guard.clear()
    loop.step(next(batches), UNSAMPLED, lambda *_: None)
    assert written()[0] != before[0]
    assert np.isfinite(loop.optimizer.values.numpy()).all()


@pytest.mark.usefixtures("guard")
def test_a_job_is_stopped_at_a_nan_in_a_row_and_named_with_its_place(poisoned: Path, folder: Path) -> None:
    reports = reported(a_job(batch_size=BATCH, epochs=2), poisoned)
    [incident] = of(Incident, reports)
    assert (incident.step, incident.epoch, incident.action, incident.count) == (LATE, 0, "stop", 1)
    assert (incident.place, incident.layer, incident.tensor, incident.kind) == ("input", None, None, "nan")
    assert len(incident.rows) == BATCH
    assert row_of_step(LATE) in incident.rows
    [end], [epoch] = of(Ended, reports), of(EpochEnded, reports)
    assert end.outcome == "failed"
    assert {"code": "nonfinite", "class": "numeric", "retryable": False}.items() <= end.error.items()
    assert "step 150, after 0 epochs, the input was not a number first" in end.error["detail"]
    assert math.isnan(epoch.metrics["train_loss"])
    assert not epoch.best
    assert reports.index(incident) < reports.index(epoch) < reports.index(end)


@pytest.mark.parametrize("data", ["iris", "diabetes"])
def test_the_epoch_under_way_has_the_names_of_every_other(data: str, folder: Path, tmp_path: Path) -> None:
    """They are rows of one table."""

    def poison(x: Any, y: Any) -> None:
        x[:, 0] = np.nan

    network, plain = {"family": "dnn", "hidden": [4]}, {"dataset": data, "normalise": "none"}
    [whole] = of(EpochEnded, reported(a_job(network, plain, epochs=1), folder))
    datasets = spoilt(folder, tmp_path, data, poison)
    [stopped] = of(EpochEnded, reported(a_job(network, plain, epochs=1), datasets))
    assert stopped.metrics.keys() == whole.metrics.keys()


def test_the_weights_are_those_of_a_job_that_ended_before(poisoned: Path, folder: Path) -> None:
    trained = []
    for datasets, job in ((poisoned, a_job(batch_size=BATCH)), (folder, a_job(batch_size=BATCH, max_steps=LATE))):
        trainer = Trainer.prepare(job, datasets, CPU, lambda report: None, lambda: None, Stopwatch())
        trainer.run_once(0)
        assert trainer.network is not None
        trained.append({name: value.numpy().tobytes() for name, value in trainer.network.state_dict().items()})
    tracked = {name for name in trained[0] if "num_batches_tracked" in name}
    assert {name for name in trained[0] if trained[0][name] != trained[1][name]} <= tracked


@pytest.mark.usefixtures("guard")
def test_the_last_hundred_steps_are_told(poisoned: Path) -> None:
    job = a_job(batch_size=BATCH, epochs=1)
    every = job.model_copy(update={"gradients": job.gradients.model_copy(update={"every_steps": 1})})
    reports = reported(every, poisoned)
    [flight] = [Chunk.decode(report.data) for report in of(Sampled, reports) if report.series == "flight"]
    assert flight.steps.tolist() == list(range(LATE - 99, LATE + 1))
    loss, norm, nonfinite = flight.values[:, :, 0].T
    assert nonfinite.tolist() == [0.0] * 99 + [1.0]
    assert np.isfinite(loss[:-1]).all()
    assert np.isnan(loss[-1])
    tensors = [Chunk.decode(report.data) for report in of(Sampled, reports) if report.series == "tensors"]
    by_step = {
        int(step): np.sqrt((values[0] ** 2).sum())
        for one in tensors
        for step, values in zip(one.steps, one.values, strict=True)
    }
    for step, one in zip(flight.steps[:-1].tolist(), norm[:-1].tolist(), strict=True):
        assert one == pytest.approx(by_step[step], rel=1e-4)


def scaled(features: float, targets: float = 1.0) -> Callable[[Any, Any], None]:
    def spoil(x: Any, y: Any) -> None:
        x *= features
        y *= y.dtype.type(targets)

    return spoil


REGRESSION = {"dataset": "diabetes", "normalise": "none", "validation": None}
PERCEPTRON = {"family": "dnn", "hidden": [], "init": "zeros"}
FIRST: dict[str, tuple[dict[str, Any], dict[str, Any], Any, tuple[Any, ...]]] = {
    "pre-activation": (
        {"family": "dnn", "hidden": [64] * 6, "activation": "relu", "init": {"kind": "normal", "std": 1e6}},
        PLAIN, scaled(1e14), ("preactivation", 3, None, "inf")),
    "loss": (
        {"family": "dnn", "hidden": [8], "activation": "relu", "init": {"kind": "normal", "std": 1e6}},
        REGRESSION, scaled(1e10), ("loss", None, None, "inf")),
    "gradient": (
        PERCEPTRON, REGRESSION, scaled(1e30, 1e12), ("gradient", 0, "output.linear.weight", "inf")),
}  # fmt: skip


@pytest.mark.usefixtures("guard")
@pytest.mark.parametrize("name", FIRST)
def test_the_first_tensor_is_found(name: str, folder: Path, tmp_path: Path) -> None:
    network, data, spoil, (place, layer, tensor, kind) = FIRST[name]
    datasets = spoilt(folder, tmp_path, data["dataset"], spoil) if spoil else folder
    [incident] = of(Incident, reported(a_job(network, data, epochs=2), datasets))
    assert (incident.step, incident.place, incident.layer, incident.tensor) == (0, place, layer, tensor)
    assert incident.kind.lstrip("+-") == kind


@pytest.mark.usefixtures("guard")
def test_an_update_that_overflows_is_found_in_the_weights(folder: Path, tmp_path: Path) -> None:
    datasets = spoilt(folder, tmp_path, "diabetes", scaled(1e20, 1e12))
    job = a_job(PERCEPTRON, REGRESSION, epochs=1, optimizer={"kind": "sgd", "learning_rate": 1e6})
    [incident] = of(Incident, reported(job, datasets))
    assert (incident.step, incident.place, incident.tensor) == (1, "weight", "output.linear.weight")


@pytest.mark.usefixtures("guard")
def test_where_a_job_goes_on_the_steps_are_left_out_and_counted(poisoned: Path) -> None:
    reports = reported(a_job(policy="continue", batch_size=BATCH, epochs=3), poisoned)
    assert [incident.count for incident in of(Incident, reports)] == [1, 2, 3]
    assert {(incident.step, incident.action) for incident in of(Incident, reports)} == {(LATE, "continue")}
    [end] = of(Ended, reports)
    assert end.outcome == "succeeded"
    assert [report.series for report in of(Sampled, reports)].count("flight") == 1


@pytest.mark.usefixtures("guard")
def test_where_a_job_goes_on_the_rows_of_the_first_step_alone_are_looked_for(
    poisoned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They take a permutation of all rows, which of a million takes a hundred times as long as a step."""
    asked: list[int] = []
    rows_of_step = Loop._rows_of_step

    def counted(loop: Loop, epoch: Epoch, step: int) -> torch.Tensor:
        asked.append(loop.taken)
        return rows_of_step(loop, epoch, step)

    monkeypatch.setattr(Loop, "_rows_of_step", counted)
    reports = reported(a_job(policy="continue", batch_size=BATCH, epochs=3), poisoned)
    assert of(Incident, reports)[-1].count == 3
    assert len(set(asked)) == 1


@pytest.mark.usefixtures("guard")
def test_a_job_that_goes_back_learns_at_a_lower_rate(folder: Path) -> None:
    reports = reported(a_job(LARGE, {"dataset": "digits"}, "rollback_and_lower_rate", **SGD), folder)
    epochs = of(EpochEnded, reports)
    assert [epoch.step for epoch in epochs] == [23, 46, 69]
    back = of(Incident, reports)[-1].count
    assert back >= 1
    assert epochs[-1].metrics["learning_rate"] == pytest.approx(0.1 * 0.1**back)
    assert math.isfinite(epochs[-1].metrics["train_loss"])
    assert of(Ended, reports)[0].outcome == "succeeded"


@pytest.mark.usefixtures("guard")
def test_going_back_ends_after_five_times(poisoned: Path) -> None:
    reports = reported(a_job(policy="rollback_and_lower_rate", batch_size=BATCH, epochs=9), poisoned)
    incidents = of(Incident, reports)
    assert [incident.count for incident in incidents] == [1, 2, 3, 4, 5, 6]
    assert [incident.action for incident in incidents][-2:] == ["rollback_and_lower_rate", "stop"]
    [end] = of(Ended, reports)
    assert (end.outcome, end.error["code"]) == ("failed", "nonfinite")
    assert len(of(EpochEnded, reports)) == 6


@pytest.mark.parametrize("policy", ["stop", "continue", "rollback_and_lower_rate"])
def test_a_job_that_is_left_before_or_after_an_incident_goes_on_as_if_it_had_not_been(
    policy: str, folder: Path, tmp_path: Path
) -> None:
    def poison(x: Any, y: Any) -> None:
        x[3, 1] = np.nan

    datasets = spoilt(folder, tmp_path / "data", "iris", poison)
    data = {"dataset": "iris", "rows": 100, "normalise": "none", "validation": 0.2}
    job = a_job(NORMED, data, policy, batch_size=20, epochs=3)
    expected, told = undisturbed(job, datasets), of(Incident, reported(job, datasets))[-1]
    for call in itertools.count(1):
        jobs = Jobs(job, datasets, tmp_path / str(call))
        if jobs.attempt(at(call)) != "left":
            break
        incidents = of(Incident, jobs.record.reports)
        jobs.resumed()
        last = [*incidents, *of(Incident, jobs.record.reports)][-1]
        assert replace(last, checkpoint=None) == told
        assert jobs.record.result == expected, f"left at look {call}"
    assert call > 3


def test_the_checkpoint_before_an_incident_stays(poisoned: Path, tmp_path: Path) -> None:
    files = CheckpointFiles(tmp_path, "job")
    reports: list[Report] = []

    def take(report: Report) -> None:
        reports.append(report)
        files.collect([report])

    job = a_job(policy="continue", batch_size=BATCH, epochs=2)
    train_job(job, poisoned, CPU, take, lambda: None, checkpoints=Checkpoints(files.folder, 1, 0))
    name = of(Incident, reports)[0].checkpoint
    assert name.startswith(f"kept-1-{LATE}-")
    assert {path.name for path in files.folder.iterdir()} == {name, _last(files.folder)}
    shutil.rmtree(files.folder)
    reports.clear()
    train_job(job, poisoned, CPU, take, lambda: None, checkpoints=Checkpoints(files.folder, 1, 1e9))
    assert of(Incident, reports)[0].checkpoint == f"kept-1-{LATE + 1}.pt"
    assert torch.load(files.folder / f"kept-1-{LATE + 1}.pt", weights_only=True)["place"]["step"] == LATE + 1


def _last(folder: Path) -> str:
    return max(
        (path for path in folder.iterdir() if not path.name.startswith("kept-")),
        key=lambda path: path.stat().st_mtime_ns,
    ).name
