"""Whole jobs in this process: what stops them, what they keep, and what they report."""

import itertools
import math
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from models.definitions.job import JobDefinition
from models.reports import Built, Ended, EpochEnded, FirstStep, Report
from workers.training.job import Trainer, train_job
from workers.training.networks import build
from workers.training.stopwatch import Stopwatch

CPU = torch.device("cpu")


def trained(
    folder: Path, network: dict[str, Any] | None = None, data: dict[str, Any] | None = None, **training: Any
) -> tuple[list[EpochEnded], Ended]:
    """The reports of a job's epochs, and of its end."""
    reports: list[Report] = []
    train_job(a_job(network, data, **training), folder, CPU, reports.append, lambda: None)
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
    trainer = Trainer.prepare(job, folder, CPU, reports.append, lambda: None, Stopwatch())
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


def test_a_run_of_restarts_is_the_job_of_its_seed_in_every_metric_and_its_weights_may_be_the_best(folder: Path) -> None:
    job = a_job(epochs=2, restarts=3, seed=2**32 - 2)
    together = a_trainer(job, folder)
    alone = [a_trainer(a_job(epochs=2, seed=seed), folder) for seed in (2**32 - 2, 2**32 - 1, 0)]
    for run, single in zip(together.runs, alone, strict=True):
        measured, (own,) = dict(run["best"]), single.runs
        assert measured.pop("epoch") == own["best"]["epoch"] + 2 * run["run"]
        assert measured == {name: value for name, value in own["best"].items() if name != "epoch"}
        assert (run["seed"], run["epochs"], run["stopped"]) == (own["seed"], 2, None)
    winner = min(alone, key=lambda trainer: trainer.best.loss)
    assert together.network is not None
    assert winner.network is not None
    pairs = zip(together.network.parameters(), winner.network.parameters(), strict=True)
    assert all(torch.equal(mine, other) for mine, other in pairs)


def a_trainer(job: JobDefinition, folder: Path) -> Trainer:
    """Run to its end."""
    trainer = Trainer.prepare(job, folder, CPU, lambda report: None, lambda: None, Stopwatch())
    assert trainer.run() == "succeeded"
    return trainer


def test_what_is_better_by_less_than_min_delta_is_waited_for_no_longer(folder: Path) -> None:
    epochs, end = trained(folder, epochs=50, stop={"patience": 3, "min_delta": 100.0})
    assert len(epochs) == 4
    assert end.reason == "the validation loss has not been better for 3 epochs"
    assert [run["stopped"] for run in end.runs] == ["patience"]


@pytest.mark.parametrize(
    ("budget", "steps", "reason"),
    [
        ({"max_steps": 7}, 7, "the steps of max_steps are taken"),
        ({"max_steps": 6}, 6, "the steps of max_steps are taken"),
        ({"max_steps": 7, "epochs": 2}, 6, None),
        ({"max_steps": 1, "epochs": 2}, 1, "the steps of max_steps are taken"),
        ({"max_steps": 100, "epochs": 2, "restarts": 3}, 18, None),
        ({"max_steps": 4, "restarts": 3}, 12, "the steps of max_steps are taken"),
        ({"epochs": 2, "pretraining": {"kind": "autoencoder", "epochs": 4}, "restarts": 2}, 36, None),
        ({"epochs": 2}, 6, None),
        ({}, 60, None),
    ],
)
def test_a_job_takes_as_many_steps_as_its_smallest_budget_and_says_which(
    folder: Path, budget: dict[str, Any], steps: int, reason: str | None
) -> None:
    """Three steps an epoch."""
    reports: list[Report] = []
    train_job(a_job(batch_size=40, **budget), folder, CPU, reports.append, lambda: None)
    assert isinstance(reports[0], Built)
    assert isinstance(reports[-1], Ended)
    assert (reports[0].steps, reports[-1].timings["steps"], reports[-1].reason) == (steps, steps, reason)


def test_seconds_are_for_all_runs_together(folder: Path) -> None:
    started = time.monotonic()
    _, end = trained(folder, max_seconds=0.3, restarts=50)
    assert time.monotonic() - started >= 0.3
    assert [run["stopped"] for run in end.runs] == ["max_seconds"]
    assert end.timings["training"] + end.timings["evaluating"] < 3
    _, end = trained(folder, max_seconds=1e-6)
    assert end.timings["steps"] == 1


def test_the_first_step_is_reported_once_also_where_pretraining_takes_it(folder: Path) -> None:
    for pretraining in (None, {"kind": "autoencoder", "epochs": 1}):
        reports: list[Report] = []
        job = a_job(max_steps=1, pretraining=pretraining)
        train_job(job, folder, CPU, reports.append, lambda: None)
        assert [type(report) for report in reports].count(FirstStep) == 1


def test_pretraining_is_a_loop_that_can_be_written_by_hand(folder: Path) -> None:
    job = a_job({"hidden": [6, 3], "activation": "tanh"}, epochs=1, batch_size=40, seed=4,
                pretraining={"kind": "autoencoder", "epochs": 2})  # fmt: skip
    trainer = a_trainer(job, folder)
    x = trainer.data.training.x
    torch.manual_seed(4)
    network = build(job.network, trainer.shape)
    order = torch.Generator().manual_seed(4)
    for layer, reported in zip(list(network)[:2], trainer.runs[0]["pretraining"], strict=True):
        decoder = nn.Linear(layer.linear.out_features, x.shape[1])
        optimizer = torch.optim.Adam([*layer.parameters(), *decoder.parameters()])
        means = []
        for _ in range(2):
            batches = [x[rows] for rows in torch.randperm(len(x), generator=order).split(40)]
            means.append(sum(step(nn.Sequential(layer, decoder), given, optimizer) for given in batches) / 3)
        assert [reported["first_loss"], reported["last_loss"]] == pytest.approx(means, rel=1e-6)
        x = layer(x).detach()


def step(network: nn.Module, given: torch.Tensor, optimizer: torch.optim.Optimizer) -> float:
    loss = nn.functional.mse_loss(network(given), given)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


@pytest.mark.parametrize(("precision", "allowed"), [("float32", False), ("bfloat16", True), ("auto", True)])
def test_float32_is_float32_and_no_tf32(folder: Path, precision: str, allowed: bool) -> None:
    a_trainer(a_job(precision=precision), folder)
    assert torch.backends.cuda.matmul.allow_tf32 is torch.backends.cudnn.allow_tf32 is allowed


def test_bfloat16_keeps_weights_in_float32(folder: Path) -> None:
    for network in ({"hidden": [8], "norm": "batch"}, {"hidden": [8, 8], "residual": True}):
        trainer = a_trainer(a_job(network, epochs=2, precision="bfloat16"), folder)
        assert trainer.network is not None
        assert {value.dtype for value in trainer.network.parameters()} == {torch.float32}


def test_balanced_weights_are_those_that_can_be_written_out(folder: Path) -> None:
    cancer = {"dataset": "breast_cancer"}
    y = a_trainer(a_job(data=cancer, epochs=1), folder).data.training.y
    counts = y.bincount().tolist()
    assert counts[0] != counts[1]
    written = [len(y) / (2 * count) for count in counts]
    balanced, _ = trained(folder, data=cancer, epochs=3, class_weights="balanced")
    assert losses(balanced) == losses(trained(folder, data=cancer, epochs=3, class_weights=written)[0])
    assert losses(balanced) != losses(trained(folder, data=cancer, epochs=3)[0])


def test_a_smoothed_loss_never_falls_below_the_entropy_of_its_targets(folder: Path) -> None:
    training: dict[str, Any] = {"epochs": 100, "optimizer": {"kind": "adam", "learning_rate": 0.05}}
    smoothing = 0.3
    own, others = 1 - smoothing + smoothing / 3, smoothing / 3
    entropy = -own * math.log(own) - 2 * others * math.log(others)
    found = losses(trained(folder, label_smoothing=smoothing, **training)[0])
    assert entropy < min(loss for loss in found if loss is not None) < entropy + 0.1
    assert losses(trained(folder, **training)[0])[-1] < 0.15


@pytest.mark.parametrize(
    ("schedule", "factors"),
    [
        ({"kind": "constant"}, [1, 1, 1, 1]),
        ({"kind": "constant", "warmup_steps": 6}, [1 / 2, 1, 1, 1]),
        ({"kind": "step", "every": 1, "factor": 0.5}, [1, 1 / 2, 1 / 4, 1 / 8]),
        ({"kind": "cosine"}, [(1 + math.cos(math.pi * last / 12)) / 2 for last in (2, 5, 8, 11)]),
        ({"kind": "one_cycle", "peak_factor": 4, "warmup_share": 0.5}, [2.03647, 4, 2.00005, 1e-4]),
    ],
)
def test_the_rate_reported_is_that_of_the_last_step(folder: Path, schedule: dict[str, Any], factors: Any) -> None:
    """Three steps an epoch."""
    training: dict[str, Any] = {"epochs": 4, "batch_size": 40, "optimizer": {"kind": "sgd", "learning_rate": 0.1}}
    epochs, _ = trained(folder, schedule=schedule, **training)
    assert losses(epochs, "learning_rate") == pytest.approx([0.1 * factor for factor in factors], rel=1e-5)


def test_the_rate_falls_with_each_epoch_that_is_no_better_where_nothing_can_be_learned(folder: Path) -> None:
    schedule = {"kind": "plateau", "patience": 0, "factor": 0.5}
    epochs, _ = trained(folder, {"hidden": [64]}, {"label_noise": 1.0}, epochs=20, schedule=schedule)
    found = [loss for loss in losses(epochs, "validation_loss") if loss is not None]
    best, rate, expected = math.inf, 0.001, []
    for loss in found:
        expected.append(rate)
        rate = rate if loss < best * (1 - 1e-4) else rate / 2
        best = min(best, loss)
    assert losses(epochs, "learning_rate") == pytest.approx(expected)
    assert rate < 0.001


def test_what_is_said_of_the_data_reaches_the_training(folder: Path) -> None:
    few, _ = trained(folder, data={"rows": 30}, epochs=1, batch_size=10)
    assert few[-1].step == 3
    fast = {"kind": "adam", "learning_rate": 0.01}
    accuracy: dict[float, Any] = {}
    for noise in (0.0, 1.0):
        epochs, _ = trained(folder, data={"label_noise": noise}, epochs=30, optimizer=fast)
        accuracy[noise] = epochs[-1].metrics["train_accuracy"]
    assert accuracy[0.0] > 0.85
    assert accuracy[1.0] < 0.6
    last = {"dataset": "sine", "parameters": {"rows": 100}, "features": "last"}
    job = a_trainer(a_job(data=last, epochs=1), folder)
    assert job.architecture.layers[0].input_shape == (1,)


CONVOLUTION = {"family": "cnn", "blocks": [{"filters": 2, "pool": "max"}], "norm": "batch", "pooling": "average"}
DETERMINISTIC: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "dnn": ({"hidden": [8], "norm": "layer", "dropout": 0.2}, {"dataset": "iris"}),
    "cnn": (CONVOLUTION, {"dataset": "digits", "rows": 100}),
    "rnn": ({"family": "rnn", "hidden": 4, "embedding": {"size": 3}, "bidirectional": True},
            {"dataset": "copy_memory", "parameters": {"rows": 100, "length": 5}}),
}  # fmt: skip


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_a_job_gives_the_same_bits_again_with_deterministic_algorithms_and_without(folder: Path, name: str) -> None:
    network, data = DETERMINISTIC[name]
    plain = {"network": {"family": "dnn"} | network, "data": data, "training": {"epochs": 2}}
    found = []
    for deterministic in (False, True, True):
        reports: list[Report] = []
        torch.use_deterministic_algorithms(deterministic)
        try:
            train_job(JobDefinition.model_validate(plain), folder, CPU, reports.append, lambda: None)
        finally:
            torch.use_deterministic_algorithms(False)
        found.append([report.metrics for report in reports if isinstance(report, EpochEnded)])
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("pretraining", [None, {"kind": "autoencoder", "epochs": 3}])
def test_a_cancelled_job_takes_no_further_step(folder: Path, pretraining: Any) -> None:
    reports: list[Report] = []
    calls = itertools.count(1)
    job = a_job(epochs=3, batch_size=40, pretraining=pretraining)
    train_job(job, folder, CPU, reports.append, lambda: "cancel" if next(calls) >= 3 else None)
    end = reports[-1]
    assert isinstance(end, Ended)
    assert (end.outcome, end.timings["steps"], end.reason) == ("cancelled", 3, None)
