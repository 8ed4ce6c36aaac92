"""What a system says about a case, and whether that is right."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.diagnosis.case import Case
from benchmarks.diagnosis.peers import PEERS
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

    @property
    def found(self) -> bool:
        return bool(self.symptoms)

    def right(self, case: Case, among: int = 1) -> bool:
        """Whether one of its first causes was expected."""
        return any(codes & case.expected for codes in self.codes[:among])

    def layer_right(self, case: Case) -> bool:
        """Whether the first cause that was expected is within one layer of the fault."""
        for codes, layers in zip(self.codes, self.layers, strict=False):
            if codes & case.expected:
                return case.layer is not None and any(abs(layer - case.layer) <= 1 for layer in layers)
        return False


def faults_of(diagnosis: Diagnosis) -> list[Finding]:
    return [finding for finding in diagnosis.findings if finding.severity == Severity.FAULT]


def said_by_us(diagnosis: Diagnosis) -> Said:
    faults = faults_of(diagnosis)
    codes = tuple(frozenset({finding.code}) for finding in faults)
    return Said(tuple(finding.code.value for finding in faults), codes, tuple(finding.layers for finding in faults))


def said_by_peer(name: str, evidence: Evidence) -> Said:
    alarms = list(PEERS[name](evidence))
    return Said(tuple(alarm.symptom for alarm in alarms), tuple(alarm.codes for alarm in alarms))


OURS = "Descent"
SYSTEMS: Sequence[str] = (OURS, *PEERS)


def said_by(name: str, evidence: Evidence) -> Said:
    return said_by_us(diagnose(evidence)) if name == OURS else said_by_peer(name, evidence)
