"""Steps that are too short: the loss is straight along each (`rate_too_high.py` says what rho is)."""

import numpy as np

from models.diagnosis import remedies
from models.diagnosis import thresholds as at
from models.diagnosis.finding import Code, Finding, Severity
from models.diagnosis.reading import Reading, measured, median, single
from models.diagnosis.words import HELD_BACK


def learning_rate_too_low(reading: Reading) -> Finding | None:
    severity = reading.severity
    if severity is None and (reading.learned or 0.0) < at.WELL_SKILL:
        severity = Severity.WARNING  # it learns, and could be quicker
    if severity is None or not len(reading.update_ratios):
        return None
    ratio, rho = reading.largest_update, median(reading.rho)
    # Of still smaller steps the change of the loss is rounding, and there is no rho.
    linear = rho > at.RHO_LINEAR or not len(reading.rho)
    # Units that long steps have driven away move little afterwards, too.
    tiny = ratio < at.UPDATE_TINY and linear and not reading.first_update > at.UPDATE_LARGE
    straight = rho > at.RHO_STRAIGHT and _falls_evenly(reading)
    if not (ratio > at.UPDATE_NONE and (tiny or straight)):
        return None
    if tiny:
        explanation = (
            f"No weight tensor moves by more than {ratio:.2g} of its length in a step (usual: about 0.001), and "
        )
    else:
        explanation = "The training loss falls evenly, as much in the last epochs as in the first, and "
    evidence = [single("update_ratio", ratio, at.UPDATE_TINY if tiny else None)]
    if len(reading.rho):
        evidence.append(measured("rho", reading.rho, at.RHO_LINEAR if tiny else at.RHO_STRAIGHT))
        explanation += (
            f"each step changes the loss by {rho:.3g} of what its gradient promises: it could be much longer."
        )
    else:
        explanation += "what its gradient promises of a step is less than the loss is rounded to."
    if reading.is_held_back:
        explanation += HELD_BACK
    definition = reading.evidence.definition
    return Finding(
        Code.LEARNING_RATE_TOO_LOW,
        severity,
        explanation,
        tuple(evidence),
        first_step=int(reading.evidence.samples["steps"].steps[0]),
        remedies=remedies.offered(
            remedies.steady_rate(definition) if reading.is_held_back else None,
            remedies.raise_rate(reading, longer(reading)),
            remedies.adam(definition),
        ),
    )


def longer(reading: Reading) -> float:
    """By what to multiply the rate: 1 - rho is proportional to it, and should come to 1 - RHO_AIM; updates are too, and
    should come to a hundredth of the weights, as of a network that has just begun."""
    by_rho = (1 - at.RHO_AIM) / max(1 - median(reading.rho), 1e-4) if len(reading.rho) else 0.0
    by_update = at.UPDATE_LARGE / max(reading.largest_update, 1e-12)
    return min(max(by_rho, by_update, 3.0), at.MOST_LONGER)


def _falls_evenly(reading: Reading) -> bool:
    """Whether the training loss falls in nearly every epoch, and in the second half of them as in the first; of a few
    epochs, in each."""
    losses = reading.evidence.epochs["train_loss"]
    falls = -np.diff(losses)
    if len(losses) < at.FEWEST_EPOCHS:
        return len(falls) > 0 and bool((falls > 0).all())
    if not np.isfinite(losses).all():
        return False
    half = len(falls) // 2
    return bool((falls > 0).mean() > at.FALLING and falls[half:].mean() > falls[:half].mean() / 4)
