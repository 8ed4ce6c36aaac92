"""What all benchmarks share: contenders that take turns, and one kind of table, as Markdown and as JSON.

A benchmark is a module with `run(quick) -> list[Table]`; `python -m benchmarks` runs them.
"""

import gc
import os
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

Samples = dict[str, list[float]]
"""By contender, in whatever unit they were taken."""


@dataclass(frozen=True)
class Table:
    """One table of the report."""

    title: str
    columns: tuple[str, ...]
    rows: list[list[Any]]
    """Texts and numbers; a number is shown with three digits."""
    note: str = ""
    """What was measured and how, in a sentence or two, below the title."""

    def markdown(self) -> str:
        lines = [f"## {self.title}", "", *([self.note, ""] if self.note else [])]
        lines += [f"| {' | '.join(self.columns)} |", "|" + "---|" * len(self.columns)]
        lines += [f"| {' | '.join(map(shown, row))} |" for row in self.rows]
        return "\n".join(lines) + "\n"

    def plain(self) -> dict[str, Any]:
        return {"title": self.title, "columns": list(self.columns), "rows": self.rows, "note": self.note}


def shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:#.3g}".rstrip(".")
    return str(value)


def take_turns(contenders: dict[str, Callable[[], float]], rounds: int, warm_ups: int = 1) -> Samples:
    """Each contender once a round, so that a noisy machine disturbs all alike. A contender returns its own figure."""
    samples: Samples = {name: [] for name in contenders}
    gc.collect()
    gc.freeze()  # what was imported is not looked through before every turn
    try:
        for index in range(-warm_ups, rounds):
            for name, contender in contenders.items():
                gc.collect()
                figure = contender()
                if index >= 0:
                    samples[name].append(figure)
    finally:
        gc.unfreeze()
    return samples


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def spread(values: Sequence[float]) -> str:
    """The middle half, lower and upper quartile as shares of the median."""
    if len(values) < 4:
        return f"{shown(min(values))}-{shown(max(values))}"
    low, _, high = statistics.quantiles(values, n=4)
    return f"{low / median(values):.2f}-{high / median(values):.2f}"


def ratio(values: Sequence[float], base: Sequence[float]) -> float:
    """Ratio of the medians."""
    return median(values) / median(base)


def machine(*packages: str) -> str:
    """Processor, cores and the versions of some packages, in a line."""
    names = [f"{name} {installed(name)}" for name in packages]
    return ", ".join([platform.machine(), f"{os.cpu_count()} cores", f"Python {platform.python_version()}", *names])


def installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
