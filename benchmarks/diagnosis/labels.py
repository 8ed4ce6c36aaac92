"""Sick or not, by outcome: what was injected counts only where it did harm."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

from benchmarks.diagnosis.case import Case
from benchmarks.diagnosis.chance import mann_whitney
from benchmarks.diagnosis.outcome import Outcome
from benchmarks.diagnosis.runs import Runs

HARM = 0.15
"""Of skill, in median over the seeds."""
SIGNIFICANT = 0.05
LEARNED = 0.5
"""Skill of a control that is worth the name."""


class Label(StrEnum):
    SICK = "sick"
    """Clearly worse than its control."""
    BENIGN = "benign"
    """Trained well in spite of an injection."""
    HEALTHY = "healthy"
    """A control that learned."""
    DROPPED = "dropped"
    """Neither: a control that learned little or was better half-way, or a job beside such a control."""


@dataclass(frozen=True)
class Judged:
    """A case with its label."""

    case: Case
    label: Label
    final: tuple[float, ...]
    """Validation skill, by seed."""
    control: tuple[float, ...]
    """What it is compared with."""
    seconds: float
    """Mean of a run."""


def judge(cases: Sequence[Case], runs: Runs, seeds: int) -> list[Judged]:
    """In the order of the cases. All runs are there, or are made one by one."""
    outcomes = {case.id: [runs.get(case.seeded(seed)).outcome for seed in range(seeds)] for case in cases}
    return [judged(case, outcomes[case.id], outcomes.get(case.control or "")) for case in cases]


def judged(case: Case, own: Sequence[Outcome], control: Sequence[Outcome] | None) -> Judged:
    final = tuple(run.final for run in own)
    best = tuple(run.best for run in own)
    compared = tuple(run.final for run in control) if control else best
    seconds = sum(run.seconds for run in own) / len(own)
    return Judged(case, label_of(case, final, best, compared), final, compared, seconds)


def label_of(case: Case, final: Sequence[float], best: Sequence[float], control: Sequence[float]) -> Label:
    worse = is_worse(final, control)
    if not case.injections:
        return Label.DROPPED if worse or median(final) < LEARNED else Label.HEALTHY
    if worse:
        return Label.SICK
    return Label.DROPPED if is_worse(final, best) or median(final) < LEARNED else Label.BENIGN


def is_worse(final: Sequence[float], control: Sequence[float]) -> bool:
    return median(control) - median(final) >= HARM and mann_whitney(final, control) < SIGNIFICANT


def counts(judged: Sequence[Judged]) -> dict[str, Counter[str]]:
    """Labels by injection."""
    names = dict.fromkeys(one.case.injection for one in judged)
    return {name: Counter(one.label.value for one in judged if one.case.injection == name) for name in names}
