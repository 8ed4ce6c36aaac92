"""The numbers of one run of a job, as the rules read them.

    gathering = Gathering(definition)
    for report in reports: gathering.see(report)
    evidence = gathering.evidence(complete=True)

The same reports give the same evidence, whether they come from a running job or out of the database.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.architecture import architecture_of
from models.catalogue import DataShape, shape_of_data
from models.definitions.job import JobDefinition
from models.expectation import Expectation, expect
from models.metrics import METRICS
from models.reports import EpochEnded, Facts, Incident, Report, Sampled
from models.series import SERIES, Chunk
from models.shapes import Architecture

FIRST_KEPT = 16
"""Samples at the start of a series that are kept whatever comes after them."""
MOST_KEPT = 400
"""Samples of a series; beyond it every other one is let go."""
MOST_VALUES = 2_000_000
"""Numbers of a series, likewise."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Samples:
    """One series over sampled steps."""

    series: str
    steps: NDArray[np.int64]
    values: NDArray[np.float32]
    """[samples, statistics, columns]"""

    def __len__(self) -> int:
        return len(self.steps)

    def of(self, statistic: str) -> Values:
        """[samples, columns]"""
        return self.values[:, SERIES[self.series].index(statistic)].astype(np.float64)


class Thinned:
    """Gathers the samples of a series: the first ones, and evenly between those that follow. What is kept depends on
    what came, not on the portions in which it came."""

    def __init__(self, series: str) -> None:
        self.series = series
        self._stride = 1
        self._seen = 0
        self._kept: list[tuple[int, int, NDArray[np.float32]]] = []
        """Ordinal, step, values."""

    def add(self, steps: Iterable[int], values: NDArray[np.float32]) -> None:
        for step, sample in zip(steps, values, strict=True):
            ordinal, self._seen = self._seen, self._seen + 1
            if not self._keeps(ordinal):
                continue
            self._kept.append((ordinal, int(step), sample))
            if len(self._kept) > max(min(MOST_KEPT, MOST_VALUES // max(sample.size, 1)), 2 * FIRST_KEPT):
                self._stride *= 2
                self._kept = [kept for kept in self._kept if self._keeps(kept[0])]

    def _keeps(self, ordinal: int) -> bool:
        return ordinal < FIRST_KEPT or ordinal % self._stride == 0

    def samples(self) -> Samples:
        statistics = len(SERIES[self.series])
        steps = np.array([step for _, step, _ in self._kept], np.int64)
        values = np.stack([v for *_, v in self._kept]) if self._kept else np.empty((0, statistics, 0), np.float32)
        if values.shape[1] < statistics:  # from before there were the others
            missing = np.full((len(values), statistics - values.shape[1], values.shape[2]), np.nan, np.float32)
            values = np.concatenate([values, missing], axis=1)
        return Samples(self.series, steps, values)

    def state(self) -> dict[str, Any]:
        return {"stride": self._stride, "seen": self._seen, "kept": list(self._kept)}

    def restore(self, state: dict[str, Any]) -> None:
        self._stride, self._seen, self._kept = state["stride"], state["seen"], list(state["kept"])


@dataclass(frozen=True)
class Evidence:
    """All that a diagnosis is made of."""

    definition: JobDefinition
    facts: dict[str, Any]
    """As `models.reports.Facts` describes them."""
    epochs: dict[str, Values]
    """By the names of the metrics, one number an epoch; NaN where there is none. `step` is the last of the epoch."""
    samples: dict[str, Samples]
    """By series."""
    incident: Incident | None = None
    complete: bool = False
    planned_steps: int | None = None
    """Of the run."""
    is_abandoned: bool = False
    """Whether a client cancelled the job."""
    is_midway: bool = False
    """Whether the samples begin where a policy took the run back, and not at its init."""
    is_cut_short: bool = False
    """Whether the last epoch was not validated: a policy ended the job in it."""

    @cached_property
    def shape(self) -> DataShape:
        return shape_of_data(self.definition.data)

    @cached_property
    def architecture(self) -> Architecture:
        return architecture_of(self.definition)

    @cached_property
    def expectation(self) -> Expectation:
        return expect(self.architecture)


@dataclass
class Gathering:
    """Takes the reports of one run."""

    definition: JobDefinition
    planned_steps: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    incident: Incident | None = None
    epochs: list[dict[str, float | None]] = field(default_factory=list)
    series: dict[str, Thinned] = field(default_factory=lambda: {name: Thinned(name) for name in SERIES})
    is_midway: bool = False

    def see(self, report: Report) -> None:
        match report:
            case Facts(values=values):
                self.facts = self.facts | values
            case Incident(step=step) if self.incident is None or self.incident.step == step:
                # The first one; told again, it knows more.
                self.incident = report
            case EpochEnded(metrics=metrics, step=step):
                self.epochs.append({"step": step, **metrics})
            case Sampled(series=series, data=data):
                chunk = Chunk.decode(data)
                self.series[series].add(chunk.steps.tolist(), chunk.values)

    def evidence(self, complete: bool, is_abandoned: bool = False) -> Evidence:
        names = ("step", *METRICS)
        # None becomes NaN.
        epochs = {name: np.array([epoch.get(name) for epoch in self.epochs], float) for name in names}
        samples = {name: gathered.samples() for name, gathered in self.series.items()}
        is_cut_short = bool(self.epochs) and self.epochs[-1].get("validation_loss") is None
        told = self.incident, complete, self.planned_steps, is_abandoned, self.is_midway, is_cut_short
        return Evidence(self.definition, self.facts, epochs, samples, *told)

    def state(self) -> dict[str, Any]:
        series = {name: gathered.state() for name, gathered in self.series.items()}
        told = {"facts": self.facts, "incident": self.incident, "epochs": list(self.epochs)}
        return told | {"series": series, "is_midway": self.is_midway}

    def restore(self, state: dict[str, Any]) -> None:
        self.facts, self.incident, self.epochs = state["facts"], state["incident"], list(state["epochs"])
        self.is_midway = state.get("is_midway", False)
        for name, gathered in state["series"].items():
            self.series[name].restore(gathered)
