"""Numbers as colours, by their logarithms: rows are layers or time steps, columns sampled steps."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.plots.axes import Scale
from service.plots.looks import INFINITE, LEVELS, NAN, ZERO
from service.plots.picture import Cells, Line, Shape, Text, shortened

MOST_ROWS, MOST_COLUMNS = 100, 240
"""More would be thinner than a line."""
LABEL_HEIGHT, KEY_HEIGHT, TICKS = 13, 160, 7
LONGEST_LABEL = 22
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Shades:
    """Which powers of ten the first and the last shade stand for."""

    low: float
    high: float

    @classmethod
    def of(cls, values: Numbers) -> "Shades":
        seen = values[np.isfinite(values) & (values > 0)]
        if not len(seen):
            return cls(0, 1)
        low, high = math.log10(seen.min()), math.log10(seen.max())
        return cls(low, high) if high - low > 1e-3 else cls(low - 0.5, high + 0.5)

    def levels(self, values: Numbers) -> NDArray[np.int64]:
        """Of numbers that are not negative, or not finite."""
        with np.errstate(divide="ignore", invalid="ignore"):
            share = (np.log10(values) - self.low) / (self.high - self.low)
        shades = np.clip(np.nan_to_num(share, posinf=1, neginf=0) * (LEVELS - 1) + 0.5, 0, LEVELS - 1).astype(np.int64)
        special = [np.isnan(values), np.isinf(values), values == 0]
        return np.select(special, [NAN, INFINITE, ZERO], shades)


@dataclass(frozen=True)
class Rows:
    labels: list[str]
    values: Numbers
    """[rows, columns]"""
    pooled: int = 1
    """How many rows became one."""


def pooled(labels: Sequence[str], values: Numbers) -> Rows:
    """Neighbours as one where there are too many rows: the largest of them, so that no NaN is lost."""
    size = math.ceil(len(labels) / MOST_ROWS)
    starts = list(range(0, len(labels), size)) if labels else []
    return Rows([labels[start] for start in starts], np.maximum.reduceat(values, starts, axis=0), size)


def heat_map(rows: Rows, steps: Sequence[int], shades: Shades, x: float, y: float, width: float) -> list[Shape]:
    """With its labels; as high as `height_of` says."""
    height = height_of(len(rows.labels))
    levels = tuple(tuple(row) for row in shades.levels(rows.values).tolist())
    shapes: list[Shape] = [Cells(x, y, width, height, levels)]
    cell = height / len(rows.labels)
    for row in range(0, len(rows.labels), max(1, math.ceil(LABEL_HEIGHT / cell))):
        label = shortened(rows.labels[row], LONGEST_LABEL)
        shapes.append(Text("tick", x - 8, y + (row + 0.5) * cell + 4, label, "end"))
    for column in np.unique(np.linspace(0, len(steps) - 1, min(TICKS, len(steps))).round().astype(int)):
        at = x + (column + 0.5) * width / len(steps)
        shapes.append(Line("axis", ((at, y + height), (at, y + height + 4))))
        shapes.append(Text("tick", at, y + height + 18, str(steps[column]), "middle"))
    return shapes


def height_of(rows: int) -> float:
    return min(300, max(60, 30 * rows))


def key(shades: Shades, values: Numbers, x: float, y: float) -> list[Shape]:
    """What the colours mean; of the special ones those that there are."""
    bar = tuple((level,) for level in reversed(range(LEVELS)))
    shapes: list[Shape] = [Cells(x, y, 14, KEY_HEIGHT, bar)]
    shapes += [Text("tick", x + 20, place + 4, label) for place, label in _ticks(shades, y)]
    special = [("NaN", NAN, np.isnan(values)), ("Inf", INFINITE, np.isinf(values)), ("0", ZERO, values == 0)]
    seen = [(name, level) for name, level, where in special if where.any()]
    for place, (name, level) in enumerate(seen):
        at = y + KEY_HEIGHT + 18 + 20 * place
        shapes += [Cells(x, at, 14, 12, ((level,),)), Text("tick", x + 20, at + 10, name)]
    return shapes


def _ticks(shades: Shades, y: float) -> list[tuple[float, str]]:
    """At whole powers of ten, or at both ends where there are not two of them."""
    scale = Scale(shades.low, shades.high, y + KEY_HEIGHT, y, is_log=True)
    ticks = list(scale.ticks(5))
    ends = [(scale.at(end), f"{10**end:.2g}") for end in (shades.low, shades.high)]
    return ticks if len(ticks) > 1 else ends
