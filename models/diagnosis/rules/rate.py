"""Steps that are too long, too short, or in the wrong direction.

rho = (L(w + dw) - L(w)) / (g.dw) on the batch of the step: what the loss did over what the gradient promised. For a
quadratic it is 1 - dw'H dw / (2 |g.dw|), whatever the optimizer: 1 for a step so short that the loss is straight along
it, 0.5 for one that ends at the minimum, below 0 for one that ends higher than it began.
"""

import math

import numpy as np

from models.diagnosis import remedies
from models.diagnosis import thresholds as at
from models.diagnosis.finding import Code, Finding, Measured, Remedy, Severity
from models.diagnosis.reading import Reading, measured, median, single


def overshooting(reading: Reading) -> Finding | None:
    """Steps far too long, beyond doubt."""
    rho = reading.rho
    beyond = len(rho) > 0 and (median(rho) < at.RHO_VERY_LOW or (rho < 0).mean() > at.RHO_NEGATIVE_OFTEN)
    return (learning_rate_too_high(reading) if beyond else None) or _drove_away(reading) or _blown_up(reading)


def learning_rate_too_high(reading: Reading) -> Finding | None:
    severity = reading.outcome_severity
    if severity is None and _oscillates(reading):
        severity = Severity.WARNING
    rho = reading.rho
    if severity is None or not len(rho):
        return None
    negative = float((rho < 0).mean())
    low = median(rho) < at.RHO_LOW
    often = negative > at.RHO_NEGATIVE_SHARE and ((rho < 0).sum() > 1 or reading.diverged)
    first = float(rho[: at.INIT_SAMPLES].min())
    at_once = reading.failed and first < at.RHO_AT_ONCE
    large = reading.failed and _largest_update(reading) > at.UPDATE_LARGE
    mediocre = median(rho) < at.RHO_MEDIOCRE or reading.diverged
    uphill = reading.failed and first < 0 and _early_update(reading) > at.UPDATE_WILD
    if not (low or negative > at.RHO_NEGATIVE_OFTEN or uphill or (mediocre and (often or at_once or large))):
        return None
    explanation = f"A step changes the loss by {median(rho):.2g} of what its gradient promises (median of {len(rho)} "
    explanation += f"samples; healthy: 0.6 to 1), and {100 * negative:.0f} % of the steps raise it: they overshoot."
    evidence = (
        measured("rho", rho, at.RHO_LOW),
        single("negative_rho", negative, at.RHO_NEGATIVE_SHARE),
        single("update_ratio", _largest_update(reading)),
    )
    return _too_high(reading, severity, explanation, evidence)


def _drove_away(reading: Reading) -> Finding | None:
    """Units that were responsive at first, and fell silent or saturated while updates were long: from then on there is
    no gradient that could overshoot."""
    silent = runs_away(reading.of_layers("dead") >= at.DEAD)
    flat = runs_away(reading.of_layers("saturation") < at.SATURATED)
    samples = [sample for sample in (silent, flat) if sample is not None]
    if not samples or not reading.failed or reading.severity is None:
        return None
    since = min(samples)
    step = int(reading.hidden_steps[since])
    ratios = reading.update_ratios[reading.evidence.samples["tensors"].steps < max(step, 1)]
    largest = float(np.nanmax(np.where(np.isfinite(ratios), ratios, np.nan))) if ratios.size else math.nan
    if not largest > at.UPDATE_LARGE:
        return None
    explanation = (
        f"Updates of up to {100 * largest:.2g} % of the weights in a step (usual: 0.1 %) drove units to where "
    )
    explanation += f"they do not respond any more, by step {step}."
    evidence = (single("update_ratio", largest, at.UPDATE_LARGE),)
    return _too_high(reading, reading.severity, explanation, evidence, since)


def runs_away(holds: np.ndarray) -> int | None:
    """The first sample from which on something holds in a layer for good, though it did not at first."""
    if len(holds) < 2:
        return None
    for_good = np.logical_and.accumulate(holds[::-1])[::-1]
    firsts = [int(np.argmax(column)) for column in for_good.T if column.any() and not column[0]]
    return min(firsts, default=None)


def _blown_up(reading: Reading) -> Finding | None:
    """Loss and gradient were finite at first, and grew from step to step until they were not."""
    incident = reading.evidence.incident
    flight = reading.evidence.samples["flight"]
    if incident is None or incident.place in ("input", "target") or len(flight) < 2 or reading.severity is None:
        return None
    norms = flight.of("gradient_norm")[:-1, 0]
    first, largest = float(norms[0]), float(np.nanmax(norms))
    if not (math.isfinite(first) and first > 0 and largest > GROWN * first):
        return None
    explanation = f"The gradient grew {largest / first:.1g} times in the last {len(norms)} steps before step "
    explanation += f"{incident.step}, where it was not finite any more: each step made the next one larger."
    return _too_high(reading, reading.severity, explanation, (single("gradient_growth", largest / first, GROWN),))


GROWN = 10.0
"""Times; gradients of a loss that falls do not grow so much."""


def _too_high(
    reading: Reading, severity: Severity, explanation: str, evidence: tuple[Measured, ...], sample: int = 0
) -> Finding:
    definition = reading.evidence.definition
    steps = reading.evidence.samples["steps"].steps
    return Finding(
        Code.LEARNING_RATE_TOO_HIGH,
        severity,
        explanation,
        evidence,
        first_step=int(steps[min(sample, len(steps) - 1)]) if len(steps) else None,
        remedies=remedies.offered(
            remedies.larger_batch(definition, 32) if _is_one_row(reading) else None,
            *(_flatter(reading) if _is_steep(reading) else ()),
            remedies.lower_rate(definition, shorter(reading)),
            remedies.clip(definition, median(reading.gradient_norms)),
            remedies.batch_norm(definition),
        ),
    )


def _is_one_row(reading: Reading) -> bool:
    """Or a few: a step along the gradient of one row is long for all others."""
    training = reading.evidence.definition.training
    return training.batch_size * training.accumulate <= 4


def _is_steep(reading: Reading) -> bool:
    """Whether it is not the steps that are long: updates are as usual, in a network so deep that its loss bends sharply
    wherever one goes (Li et al. 2018, Visualizing the loss landscape)."""
    return len(reading.hidden) >= DEEP and _largest_update(reading) < 3 * at.UPDATE_USUAL


def _flatter(reading: Reading) -> tuple[Remedy | None, ...]:
    definition = reading.evidence.definition
    return remedies.residual(definition), remedies.batch_norm(definition)


DEEP = 10


def shorter(reading: Reading) -> float:
    """By what to multiply the rate, for updates of a usual length: at first, and in the course of training. The rho of
    steps that are far too long only says that they are, for the loss is no parabola out there."""
    at_first = at.UPDATE_EARLY / max(_early_update(reading), 1e-12)
    later = 5 * at.UPDATE_USUAL / max(_largest_update(reading), 1e-12)
    factors = [factor for factor in (at_first, later) if math.isfinite(factor)]
    return min(max(min(factors, default=0.1), 0.02), 0.1 if reading.diverged else 0.3)


def learning_rate_too_low(reading: Reading) -> Finding | None:
    severity = reading.severity
    if severity is None or not len(reading.update_ratios):
        return None
    ratio, rho = _largest_update(reading), median(reading.rho)
    tiny = ratio < at.UPDATE_TINY and rho > at.RHO_LINEAR
    straight = rho > at.RHO_STRAIGHT and _falls_evenly(reading)
    if not (ratio > at.UPDATE_NONE and (tiny or straight)):
        return None
    if (reading.learned or 0.0) >= at.FAILED_SKILL:
        severity = Severity.WARNING  # it learns, and could be quicker
    explanation = (
        f"No weights move by more than {ratio:.1g} of their length in a step (usual: about 0.001), and the loss "
    )
    explanation += (
        f"falls as the gradient promises, by {median(reading.rho):.3g} of it: the steps could be much longer."
    )
    definition = reading.evidence.definition
    return Finding(
        Code.LEARNING_RATE_TOO_LOW,
        severity,
        explanation,
        (single("update_ratio", ratio, at.UPDATE_TINY), measured("rho", reading.rho, at.RHO_LINEAR)),
        first_step=int(reading.evidence.samples["steps"].steps[0]),
        remedies=remedies.offered(
            remedies.raise_rate(definition, longer(reading)),
            remedies.adam(definition),
        ),
    )


def longer(reading: Reading) -> float:
    """By what to multiply the rate: 1 - rho is proportional to it, and should come to 1 - RHO_AIM; updates are too, and
    should come to a hundredth of the weights, as of a network that has just begun."""
    by_rho = (1 - RHO_AIM) / max(1 - median(reading.rho), 1e-4)
    by_update = at.UPDATE_LARGE / max(_largest_update(reading), 1e-12)
    return min(max(by_rho, by_update, 3.0), MOST_LONGER)


RHO_AIM = 0.7
MOST_LONGER = 1000.0
"""At once: further than that a straight line says nothing."""


def _falls_evenly(reading: Reading) -> bool:
    """Whether the training loss falls in nearly every epoch, and in the second half of them as in the first."""
    losses = reading.evidence.epochs["train_loss"]
    if len(losses) < FEWEST_EPOCHS or not np.isfinite(losses).all():
        return False
    falls = -np.diff(losses)
    half = len(falls) // 2
    return bool((falls > 0).mean() > 0.9 and falls[half:].mean() > falls[:half].mean() / 4)


FEWEST_EPOCHS = 5


def batch_too_small(reading: Reading) -> Finding | None:
    """Norms of the gradient of two batch sizes give its noise scale tr(Sigma) / |G|^2 (McCandlish et al. 2018, appendix
    A.1): the batch size at which signal and noise are equal."""
    severity = reading.outcome_severity
    overshoots = len(reading.rho) > 0 and median(reading.rho) < at.RHO_LOW
    if severity is None or overshoots or not reading.is_noisy:
        return None
    scale = noise_scale(reading)
    training = reading.evidence.definition.training
    size = training.batch_size * training.accumulate
    if scale is None or size > at.SMALL_BATCH or not size * at.NOISY_BATCH < scale:
        return None
    explanation = (
        f"The gradient of {size} row{'s' if size > 1 else ''} is mostly noise: signal and noise would be equal "
    )
    explanation += f"in batches of about {scale:.2g} rows."
    definition = reading.evidence.definition
    return Finding(
        Code.BATCH_TOO_SMALL,
        severity,
        explanation,
        (single("noise_scale", scale, size * at.NOISY_BATCH),),
        first_step=int(reading.evidence.samples["steps"].steps[0]),
        remedies=remedies.offered(
            remedies.larger_batch(definition, 32 if scale < 1000 else 128), remedies.lower_rate(definition, 0.1)
        ),
    )


def noise_scale(reading: Reading) -> float | None:
    """Rows; None where it was not measured."""
    large = np.square(reading.of_steps("probe_gradient"))
    small = np.square(reading.gradient_norms)
    if len(large) != len(small) or not np.isfinite(large).any():
        return None
    training = reading.evidence.definition.training
    size = training.batch_size * training.accumulate
    rows = float(reading.evidence.facts.get("probe_rows") or 0)
    if rows <= size:
        return None
    # Where a network has settled, every gradient is noise.
    early = np.arange(len(small)) < max(len(small) // 3, 1)
    told = np.isfinite(large) & np.isfinite(small) & early
    if not told.any():
        return None
    big, little = float(large[told].mean()), float(small[told].mean())
    noise = (little - big) / (1 / size - 1 / rows)
    signal = (rows * big - size * little) / (rows - size)
    return max(noise, 0.0) / max(signal, 1e-3 * big, 1e-300)


def _early_update(reading: Reading) -> float:
    """Of the weight tensor that moves most, in the first steps."""
    early = reading.update_ratios[: at.INIT_SAMPLES]
    early = early[np.isfinite(early)]
    return float(early.max()) if early.size else float("nan")


def _largest_update(reading: Reading) -> float:
    ratios = reading.median_updates
    ratios = ratios[np.isfinite(ratios)]
    return float(ratios.max()) if len(ratios) else float("nan")


def _oscillates(reading: Reading) -> bool:
    """Whether the training loss rises by a tenth of the best constant's in too many epochs."""
    rises = np.diff(reading.progress) < -0.1
    return len(rises) >= 5 and bool(rises.mean() > at.OSCILLATING)
