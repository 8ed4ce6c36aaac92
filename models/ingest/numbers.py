"""Columns of numbers, some rows at a time: as float32, and what becomes known of them.

What looks at rows shares nothing with what looks at others, so that blocks of a file are looked at side by side.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.columns import LARGEST

Doubles = NDArray[np.float64]
Counts = NDArray[np.int64]
MOST_EXACT = 2**24
"""Whole numbers up to it are float32."""


@dataclass(frozen=True)
class Numbers:
    """Of some rows; figures are by column, and of the values that are there."""

    floats: NDArray[np.float32]
    """[columns, rows], NaN where a value is missing, infinite, or beyond float32."""
    rows: int
    missing: Counts
    """Infinite ones included."""
    infinite: Counts
    low: Doubles
    high: Doubles
    mean: Doubles
    squares: Doubles
    """Sums of (value - mean)^2."""
    whole: dict[int, set[int] | None]
    """Of the columns that were asked for: the different values, where they are all whole and exact."""


def look_at(doubles: Doubles, maybe_whole: Sequence[int]) -> Numbers:
    """`doubles`: [columns, rows], NaN where a value is missing; it is spoiled."""
    columns, rows = doubles.shape
    low, high = np.full(columns, np.inf), np.full(columns, -np.inf)
    missing = infinite = np.zeros(columns, np.int64)
    gaps: Any = None
    if rows:
        low, high = doubles.min(axis=1), doubles.max(axis=1)
    # A NaN makes both NaN, for which no comparison holds.
    if not ((low >= -LARGEST) & (high <= LARGEST)).all():
        with np.errstate(over="ignore"):
            beyond = np.isinf(doubles.astype(np.float32))
        doubles[beyond] = np.nan
        gaps = np.isnan(doubles)
        missing, infinite = gaps.sum(axis=1), beyond.sum(axis=1)
        low, high = np.fmin.reduce(doubles, axis=1, initial=np.inf), np.fmax.reduce(doubles, axis=1, initial=-np.inf)
    whole = {
        place: _whole(doubles[place][~gaps[place]] if gaps is not None else doubles[place]) for place in maybe_whole
    }
    floats = doubles.astype(np.float32)
    if gaps is not None:
        doubles[gaps] = 0
    mean = doubles.sum(axis=1) / np.maximum(rows - missing, 1)
    doubles -= mean[:, None]
    if gaps is not None:
        doubles[gaps] = 0
    squares = np.einsum("ij,ij->i", doubles, doubles)
    return Numbers(floats, rows, missing, infinite, low, high, mean, squares, whole)


def _whole(values: Doubles) -> set[int] | None:
    """The different values of a column, where they are all whole and exact."""
    found: set[int] = set()
    # Most columns are found out by their first values.
    for part in (values[:100], values[100:]):
        if (part != np.rint(part)).any() or (abs(part) > MOST_EXACT).any():
            return None
        found |= set(map(int, np.unique(part)))
    return found
