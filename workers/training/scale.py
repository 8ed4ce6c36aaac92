"""How values are scaled: by statistics of the training rows, gathered in double, some rows at a time.

The statistics depend on the rows and on `CHUNK_VALUES` alone, so data in memory and data on the disk get the same bits.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.training.split import Indices

Axes = tuple[int, ...]
Doubles = NDArray[np.float64]

CHUNK_VALUES = 2**18
"""Values at once: 2 MB in double. Part of the recipe, for sums over other chunks differ in the last bit."""

FEATURE_AXES: dict[str, Axes] = {"table": (0,), "sequence": (0, 1), "signal": (0, 2), "image": (0, 2, 3)}
"""The axes that share one statistic: rows and time, or rows and positions of a channel."""


@dataclass(frozen=True)
class Scale:
    """Values are scaled to (value - offset) / factor. float64, broadcast against the rows."""

    offset: Doubles
    factor: Doubles


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
class Moments:
    """What is known of some values, those that share a statistic taken together."""

    count: int
    mean: Doubles
    squares: Doubles
    """Sum of the squared distances from the mean."""
    low: Doubles
    high: Doubles

    def __add__(self, other: "Moments") -> "Moments":
        """Of both together (Chan, Golub and LeVeque 1979, eq. 2.1)."""
        count = self.count + other.count
        between = other.mean - self.mean
        mean = self.mean + between * (other.count / count)
        squares = self.squares + other.squares + between**2 * (self.count * other.count / count)
        return Moments(count, mean, squares, np.minimum(self.low, other.low), np.maximum(self.high, other.high))


def target_axes(y: NDArray[Any]) -> Axes:
    """All but the outputs."""
    return tuple(range(y.ndim - 1))


def fit(
    values: NDArray[Any],
    rows: Indices,
    axes: Axes,
    normalise: Literal["standard", "minmax", "none"],
    told: Callable[[], None] = lambda: None,
) -> Scale | None:
    """The scale of these (training) rows, computed in double; None where nothing is to be scaled. `told` is called
    before each chunk."""
    if normalise == "none":
        return None
    found = reduce(Moments.__add__, (moments(values[chunk], axes) for chunk in chunks(rows, values, told)))
    if normalise == "minmax":
        offset, factor = found.low, found.high - found.low
    else:
        offset, factor = found.mean, np.sqrt(found.squares / found.count)
    # Known by its range: the deviation of a constant may round to 1e-17, and dividing by that would make up a signal.
    constant = found.low == found.high
    return Scale(np.where(constant, found.low, offset), np.where(constant, 1.0, factor))


def moments(values: NDArray[Any], axes: Axes) -> Moments:
    values = values.astype(np.float64)
    low, high = values.min(axes, keepdims=True), values.max(axes, keepdims=True)
    mean = values.mean(axes, keepdims=True)
    squares = np.square(values - mean).sum(axes, keepdims=True)
    return Moments(values.size // mean.size, mean, squares, low, high)


def chunks(rows: Indices, values: NDArray[Any], told: Callable[[], None] = lambda: None) -> Iterator[Indices]:
    """The rows, as many at once as `CHUNK_VALUES` allow, at least one."""
    at_once = max(1, CHUNK_VALUES * len(values) // max(1, values.size))
    for start in range(0, len(rows), at_once):
        told()
        yield rows[start : start + at_once]


def fill(
    out: Tensor, values: NDArray[Any], rows: Indices, scale: Scale | None, told: Callable[[], None] = lambda: None
) -> None:
    """Writes these rows to a tensor on the CPU, scaled in double and rounded; without a scale as they are."""
    target = out.numpy()
    done = 0
    for chunk in chunks(rows, values, told):
        part = target[done : done + len(chunk)]
        if scale is None:
            part[...] = values[chunk]
        else:
            np.divide(values[chunk] - scale.offset, scale.factor, out=part, casting="same_kind")
        done += len(chunk)


def target_scale(scale: Scale | None, device: torch.device) -> TargetScale:
    offset, factor = (scale.offset.ravel(), scale.factor.ravel()) if scale else (np.zeros(1), np.ones(1))
    return TargetScale(torch.from_numpy(offset).to(device), torch.from_numpy(factor).to(device))
