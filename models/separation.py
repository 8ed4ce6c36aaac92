"""Where the gradients of two trainings part: the first step and layer at which they are no longer of the same size."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.series import Series

FACTOR = 2.0
"""Further apart than that they have parted. Batches alone move the gradient of a layer by some tens of percent."""


@dataclass(frozen=True)
class Separation:
    """At a step that both have sampled."""

    step: int
    layer: int
    """Column of both series: where they are furthest apart at that step."""
    values: tuple[float, float]
    """Of that layer; not finite where one of them was not."""
    factor: float
    """Larger over smaller; infinite where just one is 0 or not finite."""


def separation(one: Series, other: Series) -> Separation | None:
    """Of series with the same columns; None where they never part at a step that both have."""
    steps, left, right = np.intersect1d(one.steps, other.steps, return_indices=True)
    if not len(steps) or not one.values.shape[1]:
        return None
    a, b = one.values[left].astype(np.float64), other.values[right].astype(np.float64)
    factors = _factors(a, b)
    parted = np.flatnonzero((factors > FACTOR).any(axis=1))
    if not len(parted):
        return None
    row = parted[0]
    layer = int(factors[row].argmax())
    values = float(a[row, layer]), float(b[row, layer])
    return Separation(int(steps[row]), layer, values, float(factors[row, layer]))


def _factors(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many times one is the other; 1 where both are 0, or neither is finite."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        factors = np.maximum(np.abs(a / b), np.abs(b / a))
    is_lost = np.isfinite(a) != np.isfinite(b)
    factors = np.where(is_lost, np.inf, factors)
    return np.where(np.isnan(factors), 1.0, factors)
