"""Two small statistics: an exact Mann-Whitney test and Wilson's interval."""

import math
from collections.abc import Sequence
from itertools import combinations

Z = 1.959963984540054
"""Two-sided 95 %."""


def mann_whitney(first: Sequence[float], second: Sequence[float]) -> float:
    """Exact two-sided p that both come of one distribution: U over all ways to share out the values, ties by mid-ranks
    (Mann and Whitney 1947). Meant for samples of five or so: it looks at every way."""
    together = [*first, *second]
    ranks = [sum((v < value) + 0.5 * (v == value) for v in together) for value in together]
    middle = len(first) * sum(ranks) / len(together)
    seen = abs(sum(ranks[: len(first)]) - middle)
    ways = [abs(sum(chosen) - middle) for chosen in combinations(ranks, len(first))]
    return sum(way >= seen - 1e-9 for way in ways) / len(ways)


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927); 0 to 1 of no trials."""
    if not trials:
        return 0.0, 1.0
    share, spread = hits / trials, Z * Z / trials
    centre = (share + spread / 2) / (1 + spread)
    half = math.sqrt(spread * (share * (1 - share) + spread / 4)) / (1 + spread)
    return max(centre - half, 0.0), min(centre + half, 1.0)
