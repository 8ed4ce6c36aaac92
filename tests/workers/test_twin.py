"""The service trains what a hand-written PyTorch loop with the same seed trains: same loss per epoch to 1e-6.

The twin below knows nothing of Descent but the recipe in docs/reproducibility.md: it loads the data from scikit-learn,
splits and scales by hand, builds its network from torch.nn, and loops.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_diabetes, load_digits
from torch import Tensor, nn

from models.definitions.job import JobDefinition
from models.reports import Built, Ended, EpochEnded, Report, Sampled
from models.series import Chunk
from workers.datasets.bundled import ingest
from workers.training.job import train_job

Array = NDArray[Any]


@pytest.fixture(scope="module")
def datasets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("datasets")
    ingest(folder)
    return folder


def reports_of(definition: dict[str, Any], datasets: Path) -> list[Report]:
    reports: list[Report] = []
    job = JobDefinition.model_validate(definition)
    train_job(job, datasets, torch.device("cpu"), reports.append, lambda: None)
    return reports


def losses_of(reports: list[Report]) -> list[tuple[float | None, float | None]]:
    ended = [report.metrics for report in reports if isinstance(report, EpochEnded)]
    return [(metrics["train_loss"], metrics["validation_loss"]) for metrics in ended]


def held_out(labels: Array, share: float, seed: int) -> Array:
    """True for the rows kept for validation: the first of each class, in one seeded order of all rows."""
    order = np.random.default_rng(seed).permutation(len(labels))
    total = round(len(labels) * share)
    classes, counts = np.unique(labels, return_counts=True)
    seats = {c: int(np.floor(n * total / len(labels))) for c, n in zip(classes, counts, strict=True)}
    rest = {c: n * total / len(labels) - seats[c] for c, n in zip(classes, counts, strict=True)}
    for c in sorted(rest, key=lambda c: -rest[c])[: total - sum(seats.values())]:
        seats[c] += 1
    kept = np.zeros(len(labels), dtype=bool)
    for row in order:
        if seats[labels[row]]:
            seats[labels[row]] -= 1
            kept[row] = True
    return kept


def twin(
    network: nn.Module,
    loss_function: Any,
    optimizer: torch.optim.Optimizer,
    x: Tensor,
    y: Tensor,
    kept: Array,
    epochs: int,
) -> list[tuple[float, float]]:
    order = torch.Generator().manual_seed(0)
    validation = torch.from_numpy(kept)
    train_x, train_y = x[~validation], y[~validation]
    losses = []
    for _ in range(epochs):
        network.train()
        total = 0.0
        for batch in torch.randperm(len(train_x), generator=order).split(64):
            loss = loss_function(network(train_x[batch]), train_y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        network.eval()
        with torch.no_grad():
            validation_loss = loss_function(network(x[validation]), y[validation]).item()
        losses.append((total / len(train_x), validation_loss))
    return losses


def standardised(values: Array, kept: Array, axes: tuple[int, ...]) -> Tensor:
    mean = values[~kept].mean(axes, keepdims=True)
    deviation = values[~kept].std(axes, keepdims=True)
    deviation[deviation == 0] = 1
    return torch.from_numpy(((values - mean) / deviation).astype(np.float32))


def test_a_dnn_with_dropout_trains_as_by_hand(datasets: Path) -> None:
    definition = {
        "network": {"family": "dnn", "hidden": [32, 16], "dropout": 0.2, "init": "default"},
        "data": {"dataset": "digits"},
        "training": {"epochs": 4},
    }
    images, labels = load_digits(return_X_y=True)
    kept = held_out(labels, 0.2, 0)
    x = standardised(images.reshape(-1, 1, 8, 8), kept, (0, 2, 3))
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Flatten(),
        nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.2),
        nn.Linear(32, 16), nn.ReLU(), nn.Dropout(0.2),
        nn.Linear(16, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(network.parameters())
    by_hand = twin(network, nn.functional.cross_entropy, optimizer, x, torch.from_numpy(labels), kept, 4)
    np.testing.assert_allclose(losses_of(reports_of(definition, datasets)), by_hand, rtol=1e-6)


@pytest.mark.parametrize("bias", [False, True])
def test_a_cnn_trains_as_by_hand(datasets: Path, bias: bool) -> None:
    """With a bias before batch norm, whose gradient is nothing but rounding, the twin has to round alike: images with
    their channels side by side in memory, and the fused step. Without one any loop will do."""
    definition = {
        "network": {"family": "cnn", "blocks": [{"filters": 8, "pool": "max"}, {"filters": 8}], "hidden": [16],
                    "norm": "batch", "init": "default", "bias": bias},
        "data": {"dataset": "digits"},
        "training": {"epochs": 3, "optimizer": {"kind": "adamw", "learning_rate": 0.002}, "weight_decay": 0.01},
    }  # fmt: skip
    images, labels = load_digits(return_X_y=True)
    kept = held_out(labels, 0.2, 0)
    x = standardised(images.reshape(-1, 1, 8, 8), kept, (0, 2, 3))
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=bias), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1, bias=bias), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(),
        nn.Linear(128, 16, bias), nn.ReLU(), nn.Linear(16, 10, bias),
    )  # fmt: skip
    if bias:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        network.insert(0, SideBySide())
    optimizer = torch.optim.AdamW(network.parameters(), 0.002, weight_decay=0.01, fused=bias)
    by_hand = twin(network, nn.functional.cross_entropy, optimizer, x, torch.from_numpy(labels), kept, 3)
    np.testing.assert_allclose(losses_of(reports_of(definition, datasets)), by_hand, rtol=1e-6)


class SideBySide(nn.Module):
    """Images of one channel, whose strides say that channels are side by side."""

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), 8, 8, 1).permute(0, 3, 1, 2)


class LastState(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 16, batch_first=True)
        self.output = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.lstm(x)[0][:, -1])


def test_an_lstm_trains_as_by_hand(datasets: Path) -> None:
    definition = {
        "network": {"family": "rnn", "cell": "lstm", "hidden": 16, "init": "default"},
        "data": {"dataset": "digits_rows", "normalise": "none"},
        "training": {"epochs": 3},
    }
    images, labels = load_digits(return_X_y=True)
    kept = held_out(labels, 0.2, 0)
    x = torch.from_numpy(images.reshape(-1, 8, 8).astype(np.float32))
    torch.manual_seed(0)
    network = LastState()
    optimizer = torch.optim.Adam(network.parameters())
    by_hand = twin(network, nn.functional.cross_entropy, optimizer, x, torch.from_numpy(labels), kept, 3)
    np.testing.assert_allclose(losses_of(reports_of(definition, datasets)), by_hand, rtol=1e-6)


def test_a_regression_with_momentum_trains_as_by_hand(datasets: Path) -> None:
    definition = {
        "network": {"family": "dnn", "hidden": [16], "activation": "tanh", "init": "default"},
        "data": {"dataset": "diabetes"},
        "training": {"epochs": 5, "optimizer": {"kind": "sgd", "learning_rate": 0.01, "momentum": 0.9},
                     "weight_decay": 0.001},
    }  # fmt: skip
    features, targets = load_diabetes(return_X_y=True, scaled=False)
    kept = held_out(np.zeros(len(targets)), 0.2, 0)
    x, y = standardised(features, kept, (0,)), standardised(targets[:, None], kept, (0,))
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(10, 16), nn.Tanh(), nn.Linear(16, 1))
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9, weight_decay=0.001)
    by_hand = twin(network, nn.functional.mse_loss, optimizer, x, y, kept, 5)
    np.testing.assert_allclose(losses_of(reports_of(definition, datasets)), by_hand, rtol=1e-6)


def test_recording_every_step_changes_nothing_of_the_training(datasets: Path) -> None:
    definition = {
        "network": {"family": "dnn", "hidden": [16, 16], "dropout": 0.3},
        "data": {"dataset": "digits"},
        "training": {"epochs": 2},
    }
    every = losses_of(reports_of(definition | {"gradients": {"every_steps": 1}}, datasets))
    seldom = losses_of(reports_of(definition | {"gradients": {"every_steps": 1000}}, datasets))
    assert every == seldom


def test_a_job_tells_its_story_in_order(datasets: Path) -> None:
    definition = {
        "network": {"family": "dnn", "hidden": [4]},
        "data": {"dataset": "iris"},
        "training": {"epochs": 3, "batch_size": 50},
        "gradients": {"every_steps": 1},
    }
    reports = reports_of(definition, datasets)
    built = reports[0]
    assert isinstance(built, Built)
    assert [layer["name"] for layer in built.layers] == ["hidden_0", "output"]
    assert [type(report).__name__ for report in reports[1:]].count("EpochEnded") == 3
    sampled = [report for report in reports if isinstance(report, Sampled)]
    # And its last steps, for nine steps were too few to learn.
    assert {report.series for report in sampled} == {"tensors", "layers", "steps", "flight"}
    chunks = [Chunk.decode(report.data) for report in sampled if report.series == "tensors"]
    assert np.concatenate([chunk.steps for chunk in chunks]).tolist() == list(range(built.steps)) == list(range(9))
    ended = reports[-1]
    assert isinstance(ended, Ended)
    assert (ended.outcome, ended.timings["steps"]) == ("succeeded", 9)
    assert ended.statistics_cost > 0
