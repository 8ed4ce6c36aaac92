"""The histogram of a column as bars of an SVG."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

WIDTH, HEIGHT = 160, 40


class Bar(NamedTuple):
    """In the units of the SVG."""

    x: float
    y: float
    width: float
    height: float
    says: str


def bars_of(column: Mapping[str, Any]) -> list[Bar]:
    """Of numbers their bins, of categories the most frequent ones; none where nothing was counted."""
    if histogram := column.get("histogram"):
        edges, rows = histogram["edges"], histogram["rows"]
        names = [f"{low:.4g} to {high:.4g}" for low, high in pairwise(edges)]
    elif counts := column.get("counts"):
        names, rows = [said["value"] for said in counts], [said["rows"] for said in counts]
    else:
        return []
    width, most = WIDTH / max(len(rows), 1), max([1, *rows])
    return [
        Bar(round(index * width, 2), round(HEIGHT * (1 - count / most), 2), round(max(width - 1, 0.5), 2),
            round(HEIGHT * count / most, 2), f"{name}: {count:,} rows")
        for index, (name, count) in enumerate(zip(names, rows, strict=True))
    ]  # fmt: skip
