"""What a system says about a case, and whether that is right."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.diagnosis.case import Case, value_at
from benchmarks.diagnosis.peers import PEERS
from benchmarks.diagnosis.remedies import admitted
from benchmarks.diagnosis.runs import read
from models.diagnosis.diagnose import diagnose
from models.diagnosis.evidence import Evidence
from models.diagnosis.finding import Code, Diagnosis, Finding, Severity


@dataclass(frozen=True)
class Said:
    """The faults that a system names, its first cause first."""

    symptoms: tuple[str, ...]
    codes: tuple[frozenset[Code], ...]
    """What each stands for."""
    layers: tuple[tuple[int, ...], ...] = ()
    """Where each is; empty for a system that does not say."""
    undoes: tuple[bool, ...] = ()
    """Whether the first remedy of each takes back what was injected: such a cause is as good as the expected one."""
    reasons: tuple[str, ...] = ()
    """In words, where there are any."""

    @property
    def found(self) -> bool:
        return bool(self.symptoms)

    def right(self, case: Case, among: int = 1) -> bool:
        """Whether one of its first causes was expected."""
        return any(codes & case.expected for codes in self.codes[:among]) or any(self.undoes[:among])

    def layer_right(self, case: Case) -> bool:
        """Whether the first cause that was expected is within one layer of the fault."""
        for codes, layers in zip(self.codes, self.layers, strict=False):
            if codes & case.expected:
                return case.layer is not None and any(abs(layer - case.layer) <= 1 for layer in layers)
        return False


def faults_of(diagnosis: Diagnosis) -> list[Finding]:
    return [finding for finding in diagnosis.findings if finding.severity == Severity.FAULT]


def said_by_us(case: Case, diagnosis: Diagnosis) -> Said:
    faults = faults_of(diagnosis)
    return Said(
        symptoms=tuple(finding.code.value for finding in faults),
        codes=tuple(frozenset({finding.code}) for finding in faults),
        layers=tuple(finding.layers for finding in faults),
        undoes=tuple(undoes(case, finding) for finding in faults),
        reasons=tuple(finding.explanation for finding in faults),
    )


def undoes(case: Case, finding: Finding) -> bool:
    """Whether the first remedy of a finding changes what was injected: a number by at least half of the way back, on
    the scale of its logarithm."""
    definition = read(case.definition).plain()
    changed = admitted(definition, finding.remedies[0].patch) if finding.remedies else None
    if changed is None:
        return False
    places = zip(case.pointers, case.before, strict=True)
    return any(_goes_back(before, value_at(definition, at), value_at(changed, at)) for at, before in places)


def _goes_back(before: Any, injected: Any, remedied: Any) -> bool:
    numbers = (before, injected, remedied)
    if all(isinstance(number, int | float) and number > 0 for number in numbers):
        return abs(math.log(remedied / before)) <= 0.5 * abs(math.log(injected / before))
    return bool(remedied != injected)


def said_by_peer(name: str, evidence: Evidence) -> Said:
    alarms = list(PEERS[name](evidence))
    return Said(tuple(alarm.symptom for alarm in alarms), tuple(alarm.codes for alarm in alarms))


OURS = "Descent"
SYSTEMS: Sequence[str] = (OURS, *PEERS)


def said_by(name: str, case: Case, evidence: Evidence) -> Said:
    return said_by_us(case, diagnose(evidence)) if name == OURS else said_by_peer(name, evidence)
