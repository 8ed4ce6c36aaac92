"""A gradient of so few rows that it is mostly noise."""

import numpy as np

from models.diagnosis import remedies
from models.diagnosis import thresholds as at
from models.diagnosis.finding import Code, Finding
from models.diagnosis.reading import Reading, median, single
from models.diagnosis.words import about


def batch_too_small(reading: Reading) -> Finding | None:
    """Norms of the gradient of two batch sizes give its noise scale tr(Sigma) / |G|^2 (McCandlish et al. 2018, appendix
    A.1): the batch size at which signal and noise are equal."""
    severity = reading.outcome_severity
    overshoots = len(reading.rho) > 0 and median(reading.rho) < at.RHO_LOW
    if severity is None or overshoots or not reading.is_noisy:
        return None
    scale = _noise_scale(reading)
    size = reading.rows_of_step
    if scale is None or size > at.SMALL_BATCH or not size * at.NOISY_BATCH < scale:
        return None
    explanation = f"The gradient of {size} row{'s' if size > 1 else ''} is mostly noise: signal and noise would be "
    explanation += f"equal in batches of about {about(scale)} rows."
    definition = reading.evidence.definition
    return Finding(
        Code.BATCH_TOO_SMALL,
        severity,
        explanation,
        (single("noise_scale", scale, size * at.NOISY_BATCH),),
        first_step=int(reading.evidence.samples["steps"].steps[0]),
        remedies=remedies.offered(
            remedies.larger_batch(definition, 32 if scale < 1000 else 128),
            remedies.lower_rate(reading, 0.1),
        ),
    )


def _noise_scale(reading: Reading) -> float | None:
    """Rows; None where it was not measured."""
    large = np.square(reading.of_steps("probe_gradient"))
    small = np.square(reading.gradient_norms)
    if len(large) != len(small) or not np.isfinite(large).any():
        return None
    size = reading.rows_of_step
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
