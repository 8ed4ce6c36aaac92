"""Steps that are too long: the loss does not do what the gradient promised.

rho = (L(w + dw) - L(w)) / (g.dw) on the batch of the step: what the loss did over what the gradient promised. For a
quadratic it is 1 - dw'H dw / (2 |g.dw|), whatever the optimizer: 1 for a step so short that the loss is straight along
it, 0.5 for one that ends at the minimum, below 0 for one that ends higher than it began.
"""

import math

import numpy as np
from numpy.typing import NDArray

from models.diagnosis import remedies
from models.diagnosis import thresholds as at
from models.diagnosis.finding import Code, Finding, Measured, Severity
from models.diagnosis.reading import Reading, for_good, measured, median, single
from models.diagnosis.words import percent


def overshooting(reading: Reading) -> Finding | None:
    """Steps far too long, beyond doubt."""
    found = learning_rate_too_high(reading) if reading.overshoots else None
    return found or _drove_away(reading) or _blown_up(reading)


def learning_rate_too_high(reading: Reading) -> Finding | None:
    severity, rho = _severity(reading), reading.rho
    if severity is None or not len(rho):
        return None
    negative = float((rho < 0).mean())
    low = median(rho) < at.RHO_LOW
    often = negative > at.RHO_NEGATIVE_SHARE and ((rho < 0).sum() > 1 or reading.diverged)
    first = float(rho[: at.INIT_SAMPLES].min())
    at_once = reading.learned_little and first < at.RHO_AT_ONCE
    large = reading.learned_little and reading.largest_update > at.UPDATE_LARGE
    mediocre = median(rho) < at.RHO_MEDIOCRE or reading.diverged
    thrown = reading.falls_short and reading.is_thrown
    if not (low or negative > at.RHO_NEGATIVE_OFTEN or thrown or (mediocre and (often or at_once or large))):
        return None
    explanation = f"A step changes the loss by {median(rho):.2g} of what its gradient promises (median of {len(rho)} "
    explanation += f"samples; healthy: 0.6 to 1), {first:.2g} at worst in the first ones, and {percent(negative)} of "
    explanation += "the steps raise it: they overshoot."
    evidence = (
        measured("rho", rho, at.RHO_LOW),
        single("negative_rho", negative, at.RHO_NEGATIVE_SHARE),
        single("update_ratio", reading.largest_update),
    )
    return _too_high(reading, severity, explanation, evidence)


def _severity(reading: Reading) -> Severity | None:
    """One that fits its training rows may well have steps that are only a little too long; what it lacks is another
    thing."""
    severity = reading.clear_severity if reading.overshoots or reading.is_thrown else reading.severity
    return Severity.WARNING if severity is None and _oscillates(reading) else severity


def _drove_away(reading: Reading) -> Finding | None:
    """Units that were responsive at first, and fell silent or saturated while updates were long, or layers that do not
    pass the gradient on any more: from then on there is none that could overshoot."""
    silent = _runs_away(reading.of_layers("dead") >= at.DEAD)
    flat = _runs_away(reading.of_layers("saturation") < at.SATURATED)
    lost = _runs_away(reading.products[:, None] < at.LOST_ALTOGETHER) if _passes_at_first(reading) else None
    samples = [sample for sample in (silent, flat, lost) if sample is not None]
    if not samples or not reading.failed or reading.severity is None:
        return None
    since = min(samples)
    step = int(reading.hidden_steps[since])
    ratios = reading.update_ratios[reading.evidence.samples["tensors"].steps < max(step, 1)]
    largest = float(np.nanmax(np.where(np.isfinite(ratios), ratios, np.nan))) if ratios.size else math.nan
    if not largest > at.UPDATE_DRIVING:
        return None
    explanation = f"Updates of up to {percent(largest)} of the weights in a step (usual: 0.1 %) drove units to "
    explanation += f"where they do not respond any more, by step {step}."
    evidence = (single("update_ratio", largest, at.UPDATE_DRIVING),)
    return _too_high(reading, reading.severity, explanation, evidence, since)


def _passes_at_first(reading: Reading) -> bool:
    """Whether the gradient reaches the first layer before training."""
    return len(reading.products) > 0 and bool(reading.products[0] >= at.LOST_DEPTH)


def _runs_away(holds: NDArray[np.bool_]) -> int | None:
    """The first sample from which on something holds in any layer for good, though it did not at first."""
    return min(filter(None, map(for_good, holds.T)), default=None)


def _blown_up(reading: Reading) -> Finding | None:
    """Loss and gradient were finite at first, and grew from step to step until they were not."""
    incident = reading.evidence.incident
    flight = reading.evidence.samples["flight"]
    if incident is None or incident.place in ("input", "target") or len(flight) < 2 or reading.severity is None:
        return None
    norms = flight.of("gradient_norm")[:-1, 0]
    first, largest = float(norms[0]), float(np.nanmax(norms))
    if not (math.isfinite(first) and first > 0 and largest > at.GROWN_GRADIENT * first):
        return None
    explanation = f"The gradient grew {largest / first:.1g} times in the last {len(norms)} steps before step "
    explanation += f"{incident.step}, where it was not finite any more: each step made the next one larger."
    return _too_high(
        reading, reading.severity, explanation, (single("gradient_growth", largest / first, at.GROWN_GRADIENT),)
    )


def _too_high(
    reading: Reading, severity: Severity, explanation: str, evidence: tuple[Measured, ...], sample: int = 0
) -> Finding:
    definition, is_steep = reading.evidence.definition, _is_steep(reading)
    steps = reading.evidence.samples["steps"].steps
    return Finding(
        Code.LEARNING_RATE_TOO_HIGH,
        severity,
        explanation,
        evidence,
        first_step=int(steps[min(sample, len(steps) - 1)]) if len(steps) else None,
        remedies=remedies.offered(
            remedies.larger_batch(definition, 32) if reading.rows_of_step <= at.FEWEST_ROWS else None,
            remedies.residual(definition) if is_steep else None,
            remedies.batch_norm(definition) if is_steep else None,
            remedies.lower_rate(reading, shorter(reading)),
            remedies.clip(definition, median(reading.gradient_norms)),
            remedies.batch_norm(definition),
        ),
    )


def _is_steep(reading: Reading) -> bool:
    """Whether it is not the steps that are long: updates are as usual, in a network so deep that its loss bends
    sharply."""
    usual = reading.largest_update < 3 * at.UPDATE_USUAL and reading.first_update < at.UPDATE_EARLY
    return not reading.diverged and len(reading.hidden) >= at.DEEP and usual


def shorter(reading: Reading) -> float:
    """By what to multiply the rate, for updates of a usual length: at first, and in the course of training. The rho of
    steps that are far too long only says that they are, for the loss is no parabola out there."""
    at_first = at.UPDATE_EARLY / max(reading.first_update, 1e-12)
    later = 5 * at.UPDATE_USUAL / max(reading.largest_update, 1e-12)
    factors = [factor for factor in (at_first, later) if math.isfinite(factor)]
    return min(max(min(factors, default=0.1), 0.02), 0.1 if reading.diverged else 0.3)


def _oscillates(reading: Reading) -> bool:
    """Whether the training skill falls in too many epochs."""
    falls = np.diff(reading.progress) < -at.SWING
    return len(falls) >= at.FEWEST_EPOCHS and bool(falls.mean() > at.OSCILLATING)
