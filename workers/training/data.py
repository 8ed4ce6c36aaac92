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
    training, validation = split(data, arrays.y, shape.task)
    inputs = fit(arrays.x[training], FEATURE_AXES[shape.kind], data.normalise) if shape.kind != "tokens" else None
    targets = fit(arrays.y[training], target_axes(arrays.y), data.normalise) if shape.task == "regression" else None

    def part(rows: Indices) -> Part:
        x, y = scaled(arrays.x[rows], inputs), scaled(arrays.y[rows], targets)
        return Part(torch.from_numpy(x).to(device), torch.from_numpy(y).to(device))

    return Prepared(part(training), part(validation) if len(validation) else None, target_scale(targets, device))


def split(data: Data, y: NDArray[Any], task: Task) -> tuple[Indices, Indices]:
    """Indices of the training and of the validation rows, each ascending. `data.seed` alone decides which.

    All rows are put in one random order; the first of each class are kept for validation, as many as `apportion` says.
    A regression counts as one class. With `validation: null` the second part is empty.
    """
    rows = len(y)
    if data.validation is None:
        return np.arange(rows), np.arange(0)
    order = np.random.default_rng(data.seed).permutation(rows)
    labels = y if task == "classification" else np.zeros(rows)
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    seats = apportion(counts, data.validation_rows(rows))
    by_class = order[np.argsort(classes[order], kind="stable")]
    place = np.arange(rows) - np.repeat(np.cumsum(counts) - counts, counts)  # of each row within its class
    kept = place < np.repeat(seats, counts)
    return np.sort(by_class[~kept]), np.sort(by_class[kept])


def apportion(counts: Indices, total: int) -> Indices:
    """How many rows of each class are kept for validation: in proportion, by largest remainder, `total` together.

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


FEATURE_AXES: dict[str, Axes] = {"table": (0,), "sequence": (0, 1), "image": (0, 2, 3)}
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
