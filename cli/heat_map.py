"""A heat map of gradients in the terminal: a row for each weight, a column for each sampled step."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cli.texts import plain

MOST_ROWS = 24
LABEL_WIDTH = 22
RAMP = " .:-=+*#%@"
"""Without colours: the larger, the darker."""
ANCHORS = [(68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37)]
"""Of viridis."""
WILD, NOTHING = "!", "0"


@dataclass(frozen=True)
class Map:
    labels: list[str]
    rows: list[list[float]]
    """NaN where a number was not finite."""
    steps: list[int]


def map_of(gradients: dict[str, Any]) -> Map | None:
    """Of an answer of `GET .../gradients`: weights, and no more rows than fit. None where nothing is sampled."""
    columns = [place for place, one in enumerate(gradients["layers"]) if one["kind"] != "bias"]
    if not columns or not gradients["steps"]:
        return None
    kept = columns if len(columns) <= MOST_ROWS else [columns[place] for place in _spread(len(columns), MOST_ROWS)]
    rows = [[_value(values[column]) for values in gradients["values"]] for column in kept]
    names = (gradients["layers"][column]["name"] for column in kept)
    # `hidden_0.linear.weight` is the weight of hidden_0.
    labels = [name.removesuffix(".weight").removesuffix(".linear") for name in names]
    return Map(labels, rows, gradients["steps"])


def _spread(count: int, most: int) -> list[int]:
    return [round(place * (count - 1) / (most - 1)) for place in range(most)]


def _value(value: float | None) -> float:
    return math.nan if value is None else value


def lines(found: Map, coloured: bool) -> list[list[tuple[str, str]]]:
    """Of texts with styles; the last ones say what they mean."""
    seen = [math.log10(value) for row in found.rows for value in row if value > 0]
    low, high = (min(seen), max(seen)) if seen else (0.0, 0.0)
    drawn = []
    for label, row in zip(found.labels, found.rows, strict=True):
        name = plain(label) if len(label) <= LABEL_WIDTH else "…" + plain(label)[1 - LABEL_WIDTH :]
        drawn.append([(f"{name:>{LABEL_WIDTH}} ", "dim"), *(_cell(value, low, high, coloured) for value in row)])
    scale = [_cell(10 ** (low + (high - low) * place / 9), low, high, coloured) for place in range(10)] if seen else []
    ends = (f"{10**low:.0e} ", "dim"), *scale, (f" {10**high:.0e}", "dim")
    steps = f"  steps {found.steps[0]} to {found.steps[-1]}; {WILD} is not finite, {NOTHING} is zero"
    return [*drawn, [(" " * (LABEL_WIDTH + 1), ""), *ends, (steps, "dim")]]


def _cell(value: float, low: float, high: float, coloured: bool) -> tuple[str, str]:
    if math.isnan(value):
        return WILD, "bold red"
    if value <= 0:
        return NOTHING, "dim"
    share = min(max((math.log10(value) - low) / (high - low), 0.0), 1.0) if high > low else 0.5
    if coloured:
        return " ", f"on {_colour(share)}"
    return RAMP[1:][round(share * (len(RAMP) - 2))], ""


def _colour(share: float) -> str:
    place = share * (len(ANCHORS) - 1)
    at = min(int(place), len(ANCHORS) - 2)
    mixed = [round(a + (b - a) * (place - at)) for a, b in zip(ANCHORS[at], ANCHORS[at + 1], strict=True)]
    return "#" + "".join(f"{value:02x}" for value in mixed)


def merged(cells: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Neighbours of one style as one."""
    found: list[tuple[str, str]] = []
    for text, style in cells:
        if found and found[-1][1] == style:
            found[-1] = found[-1][0] + text, style
        else:
            found.append((text, style))
    return found
