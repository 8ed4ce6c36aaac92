"""From evidence to a diagnosis: every rule in turn; the first finding is the cause, later ones follow from it."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from models.diagnosis import thresholds as at
from models.diagnosis.evidence import Evidence
from models.diagnosis.finding import Code, Diagnosis, Finding, Severity
from models.diagnosis.margins import margins
from models.diagnosis.reading import Reading
from models.diagnosis.rules.batch import batch_too_small
from models.diagnosis.rules.course import plateau, slow, stalled
from models.diagnosis.rules.data import class_imbalance, low_signal, no_signal, noise_by_heart, nothing_to_learn
from models.diagnosis.rules.depth import exploding_depth, lost_gradient, vanishing_depth
from models.diagnosis.rules.fit import learned_by_heart, overfit
from models.diagnosis.rules.init import constant_init, dead_at_init
from models.diagnosis.rules.nonfinite import nonfinite
from models.diagnosis.rules.output import wrong_output
from models.diagnosis.rules.rate_too_high import learning_rate_too_high, overshooting
from models.diagnosis.rules.rate_too_low import learning_rate_too_low
from models.diagnosis.rules.scale import unnormalised_input, unnormalised_target
from models.diagnosis.rules.time import exploding_at_init, exploding_time, vanishing_time
from models.diagnosis.rules.units import dying_units, saturated_at_init, saturated_later

RULES: tuple[Callable[[Reading], Finding | None], ...] = (
    constant_init,
    wrong_output,
    unnormalised_input,
    unnormalised_target,
    dead_at_init,
    saturated_at_init,
    exploding_depth,
    exploding_at_init,
    lost_gradient,
    learning_rate_too_low,
    no_signal,
    overshooting,
    vanishing_depth,
    learning_rate_too_high,
    vanishing_time,
    exploding_time,
    dying_units,
    saturated_later,
    low_signal,
    batch_too_small,
    overfit,
    noise_by_heart,
    class_imbalance,
    stalled,
    nonfinite,
)
"""In order of precedence: what stands before the first step, then what training does, then what comes of it."""
REMAINING = (slow, learned_by_heart, nothing_to_learn, plateau)
"""Only where nothing above explains a failure."""
INDEPENDENT = {Code.OVERFIT, Code.LOW_SIGNAL, Code.WRONG_OUTPUT, Code.UNNORMALISED_INPUT, Code.UNNORMALISED_TARGET}
"""Findings that do not follow from others."""


def wants_reference(evidence: Evidence) -> bool:
    """Whether it is worth asking what cheap models do on the same data: not of a job that learned well."""
    ends = [evidence.epochs[name][-1:] for name in ("skill", "validation_skill")]
    skills = np.concatenate(ends)
    return not len(skills) or bool((skills < at.WELL_SKILL).any())


def diagnose(evidence: Evidence) -> Diagnosis:
    """A pure function of numbers."""
    reading = Reading(evidence)
    with np.errstate(all="ignore"):
        findings = _findings(reading)
        healthy = margins(reading) if not findings else {}
    judged = bool(findings) or (evidence.complete and reading.skill is not None)
    return Diagnosis(tuple(findings), reading.skill, evidence.complete, healthy, judged)


def _findings(reading: Reading) -> list[Finding]:
    found: dict[Code, Finding] = {}
    for rule in RULES:
        finding = rule(reading)
        if finding is not None:
            found.setdefault(finding.code, finding)
    if all(finding.severity is Severity.WARNING for finding in found.values()) and Code.LOW_SIGNAL not in found:
        for rule in REMAINING:
            finding = rule(reading)
            if finding is not None:
                found[finding.code] = finding
                break
    # A fault is the cause before any warning is.
    ordered = sorted(found.values(), key=lambda finding: finding.severity is Severity.WARNING)
    return _with_consequences(ordered)


def _with_consequences(findings: list[Finding]) -> list[Finding]:
    if not findings:
        return findings
    cause, *rest = findings
    follow = tuple(finding.code for finding in rest if finding.code not in INDEPENDENT)
    return [replace(cause, consequences=follow), *rest]
