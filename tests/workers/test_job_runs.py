"""Whole jobs in this process: what stops them, what they keep, and what they report."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch

from models.definitions.job import JobDefinition
from models.reports import Ended, EpochEnded, Report
from workers.datasets import bundled
from workers.training.job import Trainer, train_job
from workers.training.stopwatch import Stopwatch

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data sets, ingested."""
    path = tmp_path_factory.mktemp("datasets")
    bundled.ingest(path)
    return path


def trained(
    folder: Path, network: dict[str, Any] | None = None, data: dict[str, Any] | None = None, **training: Any
) -> tuple[list[EpochEnded], Ended]:
    """The reports of a job's epochs, and of its end."""
    reports: list[Report] = []
    train_job(a_job(network, data, **training), folder, CPU, reports.append, lambda: False)
    (end,) = [report for report in reports if isinstance(report, Ended)]
    return [report for report in reports if isinstance(report, EpochEnded)], end


def a_job(network: dict[str, Any] | None = None, data: dict[str, Any] | None = None, **training: Any) -> JobDefinition:
    plain = {"network": {"family": "dnn", "hidden": [8]} | (network or {}), "data": {"dataset": "iris"} | (data or {})}
    return JobDefinition.model_validate(plain | {"training": training})


def losses(epochs: list[EpochEnded], name: str = "train_loss") -> list[float | None]:
    return [epoch.metrics[name] for epoch in epochs]


def test_restarts_are_the_jobs_of_their_seeds_and_the_best_is_kept(folder: Path) -> None:
    epochs, end = trained(folder, epochs=3, restarts=3, seed=5)
    assert [epoch.run for epoch in epochs] == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert [epoch.epoch for epoch in epochs] == list(range(1, 10))
    assert [run["seed"] for run in end.runs] == [5, 6, 7]
    alone, _ = trained(folder, epochs=3, seed=6)
    assert losses(epochs[3:6]) == losses(alone)
    best = [epoch for epoch in epochs if epoch.best][-1]
    assert best.metrics["validation_loss"] == min(run["best"]["validation_loss"] for run in end.runs)


def test_patience_stops_and_the_best_weights_are_kept(folder: Path) -> None:
    job = a_job({"hidden": [64]}, {"label_noise": 0.5, "rows": 40}, epochs=500, stop={"patience": 4},
                optimizer={"kind": "adam", "learning_rate": 0.02})  # fmt: skip
    reports: list[Report] = []
    trainer = Trainer.prepare(job, folder, CPU, reports.append, lambda: False, Stopwatch())
    assert trainer.run() == "succeeded"
    epochs = [report for report in reports if isinstance(report, EpochEnded)]
    best = [epoch for epoch in epochs if epoch.best][-1]
    assert trainer.stopped == "patience"
    assert len(epochs) == best.epoch + 4 < 500
    assert trainer.network is not None
    validation = trainer.data.validation
    assert validation is not None
    trainer.network.eval()
    with torch.no_grad():
        loss = trainer.loss(trainer.network(validation.x), validation.y).item()
    assert loss == pytest.approx(best.metrics["validation_loss"], rel=1e-6)


def test_tolerance_stops_where_two_successive_losses_are_close(folder: Path) -> None:
    training = {"epochs": 3000, "batch_size": 1000, "optimizer": {"kind": "sgd", "learning_rate": 0.5}}
    epochs, end = trained(folder, stop={"tolerance": 1e-3}, **training)
    found = [loss for loss in losses(epochs) if loss is not None]
    distances = [abs(after - before) for before, after in itertools.pairwise(found)]
    assert distances[-1] < 1e-3 <= min(distances[:-1])
    assert end.reason == "the loss of two successive epochs differs by less than 0.001"


def test_steps_and_seconds_are_budgets(folder: Path) -> None:
    epochs, end = trained(folder, max_steps=7, batch_size=40)
    assert (epochs[-1].step, end.reason) == (7, "the steps of max_steps are taken")
    epochs, end = trained(folder, max_seconds=0.2)
    assert end.reason == "the seconds of max_seconds are over"
    assert len(trained(folder)[0]) == 20


def test_pretraining_lowers_each_layers_loss_and_counts_its_steps(folder: Path) -> None:
    pretraining = {"kind": "autoencoder", "epochs": 8}
    optimizer = {"kind": "adam", "learning_rate": 0.01}
    epochs, end = trained(folder, {"hidden": [8, 6]}, epochs=1, pretraining=pretraining, optimizer=optimizer)
    layers = end.runs[0]["pretraining"]
    assert [layer["layer"] for layer in layers] == ["hidden_0", "hidden_1"]
    assert all(layer["last_loss"] < layer["first_loss"] for layer in layers)
    # 120 rows in batches of 64 are two steps an epoch: 2 layers x 8 epochs, then one epoch.
    assert epochs[-1].step == 2 * 8 * 2 + 2


def test_bfloat16_rounds_the_forward_pass_alone(folder: Path) -> None:
    half, _ = trained(folder, epochs=3, precision="bfloat16")
    full, _ = trained(folder, epochs=3)
    assert losses(half) != losses(full)
    assert losses(half) == pytest.approx(losses(full), rel=0.05)
    assert losses(trained(folder, epochs=3, precision="auto")[0]) == losses(full)


@pytest.mark.parametrize("weights", ["balanced", [1.0, 5.0, 0.5]])
def test_weights_and_smoothing_change_the_training(folder: Path, weights: Any) -> None:
    plain, _ = trained(folder, data={"rows": 50}, epochs=2)
    assert losses(trained(folder, data={"rows": 50}, epochs=2, class_weights=weights)[0]) != losses(plain)
    assert losses(trained(folder, data={"rows": 50}, epochs=2, label_smoothing=0.2)[0]) != losses(plain)


def test_the_learning_rate_of_each_epoch_is_reported(folder: Path) -> None:
    schedule = {"kind": "step", "every": 2, "factor": 0.1}
    epochs, _ = trained(folder, epochs=4, schedule=schedule, optimizer={"kind": "sgd", "learning_rate": 1.0})
    assert losses(epochs, "learning_rate") == pytest.approx([1.0, 1.0, 0.1, 0.1])
