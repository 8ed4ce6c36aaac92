"""Scales from numbers to places, their ticks, and the frame around a plot."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from models.series import nonfinite_name
from service.plots.picture import Line, Shape, Text

NICE = (1, 2, 5, 10)
Area = tuple[float, float, float, float]
"""Left, top, right and bottom of a plot."""


@dataclass(frozen=True)
class Scale:
    """From `low` to `high`, drawn from `start` to `end`. Of a logarithmic one all numbers are powers of ten, so that
    what lies below the smallest float has its place too."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False
    is_whole: bool = False

    def at(self, value: float) -> float:
        """The place of a number, or of a power."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, most: int) -> Iterator[tuple[float, str]]:
        """Places and labels, `most` at most."""
        step = _nice_step((self.high - self.low) / most)
        if self.is_log or self.is_whole:
            step = max(round(step), 1)
        first = math.ceil(self.low / step - 1e-9)
        for multiple in range(first, math.floor(self.high / step + 1e-9) + 1):
            # Not `short`: of ticks from 2.302 to 2.306 three digits would all be the same.
            yield self.at(multiple * step), power(multiple * step) if self.is_log else f"{multiple * step:.10g}"


def _nice_step(least: float) -> float:
    size = 10.0 ** math.floor(math.log10(least))
    return next(nice * size for nice in NICE if nice * size >= least * (1 - 1e-9))


def scale_of(values: Sequence[float], start: float, end: float, is_log: bool, is_whole: bool = False) -> Scale:
    """One that all numbers fit into, with a margin where there is but one of them."""
    low, high = min(values), max(values)
    if is_log:
        low, high = math.floor(low + 1e-9), math.ceil(high - 1e-9)
    if high - low <= abs(high) * 1e-9:
        margin = 1 if is_log or is_whole else abs(high) / 10 or 1
        low, high = low - margin, high + margin
    return Scale(low, high, start, end, is_log, is_whole)


def power(exponent: float) -> str:
    """A power of ten, written as people write it."""
    return short(10**exponent) if -3 <= exponent <= 3 else f"1e{exponent:+03.0f}"


def amount_of(exponent: float) -> str:
    """Any power of ten as a number, also one that is no float."""
    exponent = round(exponent, 3)  # so that no 9.99 is shown as 10.0
    whole = math.floor(exponent)
    return f"{10**exponent:.2g}" if -3 <= exponent <= 3 else f"{10 ** (exponent - whole):.1f}e{whole:+03d}"


def short(value: float) -> str:
    if not math.isfinite(value):
        return nonfinite_name(value)
    return f"{value:.10g}" if value == round(value) and abs(value) < 1e7 else f"{value:.3g}"


def frame(area: Area, x: Scale, y: Scale, x_label: str, y_label: str) -> list[Shape]:
    """Grid, axes, ticks and labels."""
    left, top, right, bottom = area
    shapes: list[Shape] = []
    for place, label in y.ticks(6):
        shapes += [Line("grid", ((left, place), (right, place))), Text("tick", left - 8, place + 4, label, "end")]
    for place, label in x.ticks(8):
        shapes += [Line("axis", ((place, bottom), (place, bottom + 4)))]
        shapes += [Text("tick", place, bottom + 18, label, "middle")]
    shapes += [Line("axis", ((left, top), (left, bottom), (right, bottom)))]
    shapes += [
        Text("label", (left + right) / 2, bottom + 38, x_label, "middle"),
        Text("label", left, top - 10, y_label),
    ]
    return shapes


def legend(names: Sequence[tuple[str, str]], x: float, y: float) -> list[Shape]:
    """Lines by look, and what each is, below one another."""
    shapes: list[Shape] = []
    for place, (look, text) in enumerate(names):
        at = y + 18 * place
        shapes += [Line(look, ((x, at), (x + 22, at))), Text("label", x + 28, at + 4, text)]
    return shapes


def cross(x: float, y: float) -> list[Shape]:
    """Where a number is that has no place: NaN or infinite."""
    return [Line("cross", ((x - 4, y - 4), (x + 4, y + 4))), Line("cross", ((x - 4, y + 4), (x + 4, y - 4)))]


def pieces(points: Sequence[tuple[float, float] | None]) -> Iterator[tuple[tuple[float, float], ...]]:
    """The stretches of a line between the places where there is none."""
    run: list[tuple[float, float]] = []
    for point in (*points, None):
        if point is not None:
            run.append(point)
        elif run:
            yield tuple(run)
            run = []
