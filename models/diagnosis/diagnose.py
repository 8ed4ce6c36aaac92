"""From evidence to a diagnosis."""

from models.diagnosis.evidence import Evidence
from models.diagnosis.finding import Diagnosis


def diagnose(evidence: Evidence) -> Diagnosis:
    """A pure function of numbers."""
    skills = evidence.epochs["skill"]
    skill = float(skills[-1]) if len(skills) else None
    return Diagnosis((), skill, evidence.complete, judged=evidence.complete and skill is not None)
