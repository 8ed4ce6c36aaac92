"""Repairs sick jobs: a remedy, a job, a look, and once more. All jobs of a round train side by side."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks.diagnosis.case import with_seed
from benchmarks.diagnosis.labels import Judged
from benchmarks.diagnosis.outcome import Outcome
from benchmarks.diagnosis.remedies import Chooser, admitted
from benchmarks.diagnosis.runs import Record, Runs, read
from benchmarks.diagnosis.said import faults_of
from models.diagnosis.diagnose import diagnose
from models.diagnosis.finding import Code, Diagnosis

Plain = dict[str, Any]

ROUNDS = 2
CLOSED = 0.9
"""Of the gap between sick job and control."""
SEEDS = (0,)
"""Of training: a case counts by its median over them."""


@dataclass
class Repair:
    """The jobs that were tried for one case and seed."""

    judged: Judged
    seed: int
    definition: Plain
    """Of the last job."""
    diagnosis: Diagnosis
    """Of the last job."""
    known: set[Code]
    """Faults of the sick job."""
    tried: list[str] = field(default_factory=list)
    """Names of the remedies."""
    closed: float = 0.0
    """Share of the gap, of the last job."""
    seconds: float = 0.0
    """Of all jobs tried."""
    is_new_fault: bool = False
    is_stuck: bool = False
    """No remedy is left."""
    next: Plain | None = None

    @property
    def done(self) -> bool:
        return self.closed >= CLOSED and not self.is_new_fault

    def choose(self, chooser: Chooser) -> None:
        """Sets the next job, if there is one; more epochs are for those that were slow."""
        self.next = None
        choice = None if self.done else chooser(self.judged.case.id, len(self.tried), self.definition, self.diagnosis)
        changed = admitted(self.definition, choice.patch) if choice else None
        if choice is None or changed is None:
            self.is_stuck = not self.done
            return
        if changed["training"]["epochs"] > self.definition["training"]["epochs"] and not choice.more_budget:
            self.is_stuck = True
            return
        self.tried.append(choice.name)
        self.next = changed

    def see(self, record: Record) -> None:
        """The next job has been run."""
        assert self.next is not None
        self.definition = self.next
        self.diagnosis = diagnose(record.evidence(self.next))
        self.is_new_fault = bool({finding.code for finding in faults_of(self.diagnosis)} - self.known)
        self.seconds += record.outcome.seconds
        sick, control = self.judged.final[self.seed], self.judged.control[self.seed]
        gap = control - sick
        self.closed = (kept(self.definition, record.outcome) - sick) / gap if gap > 0 else 1.0


def kept(definition: Plain, outcome: Outcome) -> float:
    """Skill of the weights that a job leaves: those of its best epoch where it stops early for their sake."""
    stop = definition["training"].get("stop") or {}
    return outcome.best if stop.get("patience") and not outcome.error else outcome.final


@dataclass(frozen=True)
class Repaired:
    """What came of a case, over the seeds."""

    done: bool
    jobs: float
    seconds: float
    tried: tuple[tuple[str, ...], ...]


def repair(sick: Sequence[Judged], chooser: Chooser, runs: Runs) -> Iterator[int | dict[str, Repaired]]:
    """Yields how many jobs are left in the round, and in the end what came of each case by its id."""
    repairs = [begun(one, seed, runs) for one in sick if one.case.repairable for seed in SEEDS]
    for _ in range(ROUNDS):
        for each in repairs:
            each.choose(chooser)
        waiting = [(each, each.next) for each in repairs if each.next is not None]
        yield from runs.all((definition, True) for _, definition in waiting)
        for each, definition in waiting:
            each.see(runs.get(definition, evidence=True))
    yield {one.case.id: _together([each for each in repairs if each.judged is one]) for one in sick}


def begun(judged: Judged, seed: int, runs: Runs) -> Repair:
    definition = with_seed(judged.case.definition, seed)
    diagnosis = diagnose(runs.get(definition, evidence=True).evidence(definition))
    known = {finding.code for finding in faults_of(diagnosis)}
    return Repair(judged, seed, read(definition).plain(), diagnosis, known)


def _together(repairs: Sequence[Repair]) -> Repaired:
    if not repairs:
        return Repaired(False, 0, 0, ())
    done = median(each.closed for each in repairs) >= CLOSED and not any(each.is_new_fault for each in repairs)
    jobs = sum(len(each.tried) for each in repairs) / len(repairs)
    return Repaired(done, jobs, sum(each.seconds for each in repairs), tuple(tuple(each.tried) for each in repairs))
