"""Steps that are too long, too short, or in the wrong direction.

rho = (L(w + dw) - L(w)) / (g.dw) on the batch of the step: what the loss did over what the gradient promised. For a
quadratic it is 1 - dw'H dw / (2 |g.dw|), whatever the optimizer: 1 for a step so short that the loss is straight along
it, 0.5 for one that ends at the minimum, below 0 for one that ends higher than it began.
"""

import numpy as np

from models.diagnosis import remedies
from models.diagnosis import thresholds as at
from models.diagnosis.finding import Code, Finding, Severity
from models.diagnosis.reading import Reading, measured, median, single


def learning_rate_too_high(reading: Reading) -> Finding | None:
    severity = reading.severity
    if severity is None and _oscillates(reading):
        severity = Severity.WARNING
    rho = reading.rho
    if severity is None or not len(rho):
        return None
    negative = float((rho < 0).mean())
    low = median(rho) < at.RHO_LOW
    often = negative > at.RHO_NEGATIVE_SHARE and (len(rho) >= at.MANY_SAMPLES or reading.diverged)
    at_once = reading.failed and bool((rho[: at.INIT_SAMPLES] < 0).any())
    if not (low or often or at_once):
        return None
    explanation = f"A step changes the loss by {median(rho):.2g} of what its gradient promises (median of {len(rho)} "
    explanation += f"samples; healthy: 0.6 to 1), and {100 * negative:.0f} % of the steps raise it: they overshoot."
    definition = reading.evidence.definition
    ratio = _largest_update(reading)
    return Finding(
        Code.LEARNING_RATE_TOO_HIGH,
        severity,
        explanation,
        (
            measured("rho", rho, at.RHO_LOW),
            single("negative_rho", negative, at.RHO_NEGATIVE_SHARE),
            single("update_ratio", ratio),
        ),
        first_step=int(reading.evidence.samples["steps"].steps[0]),
        remedies=remedies.offered(
            remedies.lower_rate(definition, shorter(reading)),
            remedies.clip(definition, median(reading.gradient_norms)),
            remedies.batch_norm(definition),
        ),
    )


def shorter(reading: Reading) -> float:
    """By what to multiply the rate: 1 - rho is proportional to it, and so is the update; rho should come to RHO_AIM,
    updates to a usual length."""
    worst = float(np.quantile(reading.rho[: 2 * at.MANY_SAMPLES], 0.25))
    by_rho = (1 - RHO_AIM) / max(1 - worst, 1e-9)
    by_update = 3 * at.UPDATE_USUAL / max(_largest_update(reading), 1e-12)
    return min(max(by_rho, min(by_update, 0.1), 1e-3), 0.5)


RHO_AIM = 0.7


def learning_rate_too_low(reading: Reading) -> Finding | None:
    severity = reading.severity
    if severity is None or not len(reading.update_ratios):
        return None
    ratio = _largest_update(reading)
    if not (at.UPDATE_NONE < ratio < at.UPDATE_TINY and len(reading.rho) and median(reading.rho) > at.RHO_LINEAR):
        return None
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
            remedies.raise_rate(definition, 3 * at.UPDATE_USUAL / ratio),
            remedies.raise_rate(definition, at.UPDATE_USUAL / ratio),
            remedies.adam(definition),
        ),
    )


def batch_too_small(reading: Reading) -> Finding | None:
    """Norms of the gradient of two batch sizes give its noise scale tr(Sigma) / |G|^2 (McCandlish et al. 2018, appendix
    A.1): the batch size at which signal and noise are equal."""
    severity = reading.severity
    if severity is None or (len(reading.rho) and median(reading.rho) < at.RHO_LOW):
        return None
    scale = noise_scale(reading)
    training = reading.evidence.definition.training
    size = training.batch_size * training.accumulate
    if scale is None or not size * at.NOISY_BATCH < scale:
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
    told = np.isfinite(large) & np.isfinite(small)
    big, little = float(large[told].mean()), float(small[told].mean())
    noise = (little - big) / (1 / size - 1 / rows)
    signal = (rows * big - size * little) / (rows - size)
    return max(noise, 0.0) / max(signal, 1e-3 * big, 1e-300)


def _largest_update(reading: Reading) -> float:
    ratios = reading.median_updates
    ratios = ratios[np.isfinite(ratios)]
    return float(ratios.max()) if len(ratios) else float("nan")


def _oscillates(reading: Reading) -> bool:
    """Whether the training loss rises by a tenth of the best constant's in too many epochs."""
    rises = np.diff(reading.progress) < -0.1
    return len(rises) >= 5 and bool(rises.mean() > at.OSCILLATING)
