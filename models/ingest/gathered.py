"""What becomes known of a table's columns while their rows pass."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.columns import Kind

MOST_CATEGORIES = 1_000
"""Of a column whose kind is guessed; one of more is `text`."""
MOST_WHOLE = 100
"""Different whole numbers that are kept as what may be categories."""
MOST_EXACT = 2**24
"""Whole numbers up to it are float32."""
LEAST_STEPS = 10
"""Of float32 in a standard deviation."""


@dataclass
class Moments:
    """Of one column: of its values that are there."""

    count: int
    low: float
    high: float
    mean: float
    squares: float

    @property
    def deviation(self) -> float:
        return float(np.sqrt(self.squares / self.count))

    @property
    def step(self) -> float:
        """What lies between two neighbours among the float32 of its size."""
        return float(np.spacing(np.float32(max(abs(self.low), abs(self.high)))))

    @property
    def is_too_fine(self) -> bool:
        """Whether values that differ become the same float32, so many of them that it matters."""
        return 0 < self.deviation < LEAST_STEPS * self.step


class AllMoments:
    """Of many columns at once, some rows at a time (Chan, Golub and LeVeque 1979)."""

    def __init__(self, columns: int) -> None:
        self._count = np.zeros(columns)
        self._low, self._high = np.full(columns, np.inf), np.full(columns, -np.inf)
        self._mean, self._squares = np.zeros(columns), np.zeros(columns)

    def see(self, doubles: NDArray[np.float64]) -> None:
        """`doubles`: [rows, columns], NaN where one is missing; they are spoiled."""
        missing = np.isnan(doubles)
        count = len(doubles) - missing.sum(axis=0)
        is_whole = count.min(initial=len(doubles)) == len(doubles)
        self._low = np.fmin(self._low, np.fmin.reduce(doubles, axis=0))
        self._high = np.fmax(self._high, np.fmax.reduce(doubles, axis=0))
        if not is_whole:
            doubles[missing] = 0
        mean = doubles.sum(axis=0) / np.maximum(count, 1)
        doubles -= mean
        if not is_whole:
            doubles[missing] = 0
        between, total = mean - self._mean, np.maximum(self._count + count, 1)
        self._squares += np.einsum("ij,ij->j", doubles, doubles) + between**2 * self._count * count / total
        self._mean += between * count / total
        self._count += count

    def of(self, place: int) -> Moments | None:
        """Of a column; None if it has no values."""
        if not self._count[place]:
            return None
        figures = self._low[place], self._high[place], self._mean[place], self._squares[place]
        return Moments(int(self._count[place]), *map(float, figures))


@dataclass
class Gathered:
    """What is known of a column so far."""

    name: str
    kind: Kind
    most: int = MOST_CATEGORIES
    """Categories it may have."""
    missing: int = 0
    infinite: int = 0
    moments: Moments | None = None
    codes: dict[str, int] = field(default_factory=dict)
    whole: set[int] | None = field(default_factory=set)
    overflowed: bool = False

    def see_whole(self, values: NDArray[np.float64]) -> None:
        """Keeps its different values as long as they are few and whole."""
        found = self.whole or set()
        # Most columns are found out by their first values.
        for part in (values[:100], values[100:]):
            if (part != np.rint(part)).any() or (abs(part) > MOST_EXACT).any():
                self.whole = None
                return
            found |= set(map(int, np.unique(part)))
        self.whole = found if len(found) <= MOST_WHOLE else None
