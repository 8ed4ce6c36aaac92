"""What becomes known of a table's columns while their rows pass."""

from dataclasses import dataclass, field

import numpy as np

from models.columns import Kind
from models.ingest.numbers import Numbers

MOST_CATEGORIES = 1_000
"""Of a column whose kind is guessed; one of more is `text`."""
MOST_WHOLE = 100
"""Different whole numbers that are kept as what may be categories."""
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

    def see(self, numbers: Numbers) -> None:
        count = numbers.rows - numbers.missing
        self._low = np.fmin(self._low, numbers.low)
        self._high = np.fmax(self._high, numbers.high)
        between, total = numbers.mean - self._mean, np.maximum(self._count + count, 1)
        self._squares += numbers.squares + between**2 * self._count * count / total
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

    def see_whole(self, found: set[int] | None) -> None:
        """Keeps its different values as long as they are few and whole. `found`: those of some rows, if they are."""
        if self.whole is None:
            return
        both = None if found is None else self.whole | found
        self.whole = both if both is not None and len(both) <= MOST_WHOLE else None
