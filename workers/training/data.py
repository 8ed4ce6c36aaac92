"""From a data set's arrays to tensors ready to train on: split by `data.seed`, scaled by the training part alone."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.catalogue import DataShape, Task
from models.definitions.data import Data
from workers.datasets.arrays import Arrays

Indices = NDArray[np.int64]
Axes = tuple[int, ...]


@dataclass(frozen=True)
class Part:
    """The rows to train on, or those kept for validation."""

    x: Tensor
    """float32 [rows, *input_shape], scaled; int64 [rows, time] for tokens."""
    y: Tensor
    """int64 [rows] for classes; float32 [rows, outputs] or [rows, time, outputs], scaled, for a regression."""

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class TargetScale:
    """How a regression's targets were scaled: (target - offset) / factor. For classes 0 and 1."""

    offset: Tensor
    """float64, broadcasts against [..., outputs]; so does factor."""
    factor: Tensor

    def restore(self, scaled: Tensor) -> Tensor:
        """Scaled outputs or targets in the target's own units, in double."""
        return scaled.double() * self.factor + self.offset


@dataclass(frozen=True)
class Prepared:
    """What a job trains and validates on."""

    training: Part
    validation: Part | None
    target: TargetScale


def prepare(data: Data, arrays: Arrays, shape: DataShape, device: torch.device) -> Prepared:
    """The parts of a data set as tensors on the device. The same definition gives the same bits."""
    x, y = (arrays.x[:, -1] if data.features == "last" else arrays.x), arrays.y
    training, validation = split(data, y, shape.task)
    training = cut(data, training, y, shape.task)
    inputs = fit(x[training], FEATURE_AXES[shape.kind], data.normalise) if shape.kind != "tokens" else None
    targets = fit(y[training], target_axes(y), data.normalise) if shape.task == "regression" else None

    def part(rows: Indices, targets_of: Indices) -> Part:
        features, truth = scaled(x[rows], inputs), scaled(y[targets_of], targets)
        return Part(torch.from_numpy(features).to(device), torch.from_numpy(truth).to(device))

    trained = part(training, mislabelled(data, training))
    return Prepared(trained, part(validation, validation) if len(validation) else None, target_scale(targets, device))


def split(data: Data, y: NDArray[Any], task: Task) -> tuple[Indices, Indices]:
    """Indices of the training and of the validation rows, each ascending. `data.seed` alone decides which.

    All rows are put in one random order; the first of each class are kept for validation, as many as `apportion` says.
    A regression counts as one class. With `validation: null` the second part is empty.
    """
    rows = len(y)
    if data.validation is None:
        return np.arange(rows), np.arange(0)
    return parted(np.random.default_rng(data.seed), labels_of(y, task), data.validation_rows(rows))


def cut(data: Data, training: Indices, y: NDArray[Any], task: Task) -> Indices:
    """At most `data.rows` of the training rows, ascending. Which are left out is chosen as `split` chooses."""
    if data.rows is None or data.rows >= len(training):
        return training
    rng = np.random.default_rng([data.seed, 1])
    kept, _ = parted(rng, labels_of(y[training], task), len(training) - data.rows)
    return training[kept]


def mislabelled(data: Data, training: Indices) -> Indices:
    """For each training row the row whose target it gets: its own, or that of a random training row."""
    rng = np.random.default_rng([data.seed, 2])
    wrong = rng.permutation(len(training))[: round(data.label_noise * len(training))]
    source = training.copy()
    source[wrong] = training[rng.integers(0, len(training), len(wrong))]
    return source


def labels_of(y: NDArray[Any], task: Task) -> NDArray[Any]:
    """The class of each row; a regression, and rows with a target for each time step, count as one class."""
    return y if task == "classification" and y.ndim == 1 else np.zeros(len(y))


def parted(rng: np.random.Generator, labels: NDArray[Any], taken: int) -> tuple[Indices, Indices]:
    """The rows that are left and those taken, each ascending: `taken` in all, of each class as `apportion` says."""
    rows = len(labels)
    order = rng.permutation(rows)
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    seats = apportion(counts, taken)
    by_class = order[np.argsort(classes[order], kind="stable")]
    place = np.arange(rows) - np.repeat(np.cumsum(counts) - counts, counts)  # of each row within its class
    kept = place < np.repeat(seats, counts)
    return np.sort(by_class[~kept]), np.sort(by_class[kept])


def apportion(counts: Indices, total: int) -> Indices:
    """How many rows of each class are taken from training: in proportion, by largest remainder, `total` together.

    Where `total` allows, a class of two rows or more is on both sides, and one of a single row stays in training.
    """
    shares = counts * total / counts.sum()
    least, most = np.minimum(counts - 1, 1), counts - 1
    least = least if least.sum() <= total else np.zeros_like(counts)
    most = most if most.sum() >= total else counts
    seats: Indices = np.clip(np.floor(shares).astype(np.int64), least, most)
    while missing := total - seats.sum():
        step = np.sign(missing)
        movable = seats < most if step > 0 else seats > least
        seats[np.argmax(np.where(movable, step * (shares - seats), -np.inf))] += step
    return seats


@dataclass(frozen=True)
class Scale:
    """Values are scaled to (value - offset) / factor. float64, broadcast against the rows."""

    offset: NDArray[np.float64]
    factor: NDArray[np.float64]


FEATURE_AXES: dict[str, Axes] = {"table": (0,), "sequence": (0, 1), "signal": (0, 2), "image": (0, 2, 3)}
"""The axes that share one statistic: rows and time, or rows and positions of a channel."""


def target_axes(y: NDArray[Any]) -> Axes:
    """All but the outputs."""
    return tuple(range(y.ndim - 1))


def fit(values: NDArray[Any], axes: Axes, normalise: Literal["standard", "minmax", "none"]) -> Scale | None:
    """The scale of these (training) rows, computed in double; None where nothing is to be scaled."""
    if normalise == "none":
        return None
    values = values.astype(np.float64)
    low, high = values.min(axes, keepdims=True), values.max(axes, keepdims=True)
    if normalise == "minmax":
        offset, factor = low, high - low
    else:
        offset, factor = values.mean(axes, keepdims=True), values.std(axes, keepdims=True)
    # Known by its range: the deviation of a constant may round to 1e-17, and dividing by that would make up a signal.
    constant = low == high
    return Scale(np.where(constant, low, offset), np.where(constant, 1.0, factor))


def scaled(values: NDArray[Any], scale: Scale | None) -> NDArray[Any]:
    """The values scaled in double and rounded to float32; without a scale as they are."""
    return values if scale is None else ((values - scale.offset) / scale.factor).astype(np.float32)


def target_scale(scale: Scale | None, device: torch.device) -> TargetScale:
    offset, factor = (scale.offset.ravel(), scale.factor.ravel()) if scale else (np.zeros(1), np.ones(1))
    return TargetScale(torch.from_numpy(offset).to(device), torch.from_numpy(factor).to(device))
