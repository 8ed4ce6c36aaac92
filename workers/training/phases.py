"""When a job's phases began and ended, for its trace."""

from collections import Counter
from collections.abc import Callable

from models.reports import PhaseEnded, Report

PHASES = ("starting", "training", "evaluating", "saving")
MOST = 100
"""Of each name that are reported: a job may have a million epochs."""


class Phases:
    """Told by a stopwatch of each of its laps."""

    def __init__(self, report: Callable[[Report], None]) -> None:
        self._report = report
        self._told: Counter[str] = Counter()

    def __call__(self, name: str, began: float, ended: float) -> None:
        if name in PHASES and self._told[name] < MOST:
            self._told[name] += 1
            self._report(PhaseEnded(name, began, ended))
