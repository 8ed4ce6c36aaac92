"""What the course of the loss alone says, where nothing else explains a failure."""

import math

import numpy as np

from models.diagnosis import remedies
from models.diagnosis import thresholds as at
from models.diagnosis.finding import Code, Finding, Remedy
from models.diagnosis.reading import Numbers, Reading, median, single
from models.diagnosis.words import HELD_BACK, percent
from models.expectation import activations_of

FEWEST_EPOCHS = 4


def stalled(reading: Reading) -> Finding | None:
    """No weight of any tensor moves by more than float32 can tell. Updates that are left out because they were not
    finite move nothing either, and say nothing of the rate."""
    severity = None if reading.diverged else reading.severity
    ratios = reading.median_updates[np.isfinite(reading.median_updates)]
    if severity is None or not len(ratios) or ratios.max() > at.UPDATE_NONE:
        return None
    definition = reading.evidence.definition
    explanation = (
        f"In {len(reading.update_ratios)} sampled steps no weights move by more than {ratios.max():.1g} of their "
    )
    explanation += "length: they stay as they are."
    if reading.is_held_back:
        explanation += HELD_BACK
    return Finding(
        Code.STALLED,
        severity,
        explanation,
        (single("update_ratio", float(ratios.max()), at.UPDATE_NONE),),
        remedies=remedies.offered(
            remedies.steady_rate(definition) if reading.is_held_back else None,
            remedies.init_auto(definition),
            remedies.adam(definition),
            remedies.raise_rate(reading, 100),
        ),
    )


def slow(reading: Reading) -> Finding | None:
    """The log of the training loss still falls, by more than two standard errors of its slope over the last third of
    the epochs, and at that pace a multiple of the budget would do."""
    severity = reading.severity
    slope, error = _slope(reading)
    if severity is None or math.isnan(slope) or not slope < -at.STANDARD_ERRORS * error:
        return None
    needed = _epochs_needed(reading, slope)
    epochs = len(reading.evidence.epochs["train_loss"])
    if not reading.epochs_left < needed <= at.MORE_BUDGET * epochs:
        return None
    explanation = f"The training loss still falls, by {percent(-slope)} an epoch; at this pace it would be learned "
    explanation += f"in {math.ceil(needed)} epochs more, and {epochs} were allowed."
    return Finding(
        Code.SLOW,
        severity,
        explanation,
        (single("slope_of_log_loss", slope, -at.STANDARD_ERRORS * error), single("epochs_needed", needed)),
        remedies=_quicker(reading, 1 + needed / epochs),
    )


def plateau(reading: Reading) -> Finding | None:
    """The loss does not fall any more, far above what the data allow."""
    severity = reading.severity
    if severity is None or not reading.decided or reading.learned is None:
        return None
    definition = reading.evidence.definition
    if _is_linear(reading):
        explanation = f"The network is linear in its inputs, and the skill stays at {reading.learned:.2f}: there is no "
        explanation += "straight boundary or plane that does better."
        found = remedies.offered(remedies.nonlinear(definition), remedies.adam(definition))
    else:
        is_short = reading.steps < at.DECIDED_STEPS
        explanation = f"{_stays(reading, is_short)}; no gradient, unit or step is out of the ordinary."
        longer = remedies.more_epochs(definition, 10) if is_short else None
        found = remedies.offered(_other_side(reading), longer, *_quicker(reading, 3))
    return Finding(
        Code.PLATEAU, severity, explanation, (single("skill", reading.learned, at.FAILED_SKILL),), remedies=found
    )


def _stays(reading: Reading, is_short: bool) -> str:
    skill = f"{reading.learned or 0.0:.2f}"
    if is_short:
        return f"The skill is {skill} after {reading.steps} steps, which are few to learn in"
    slope, error = _slope(reading)
    falls = slope < -at.STANDARD_ERRORS * error
    course = "the loss falls too slowly to get anywhere" if falls else "the loss does not fall any more"
    return f"The skill stays at {skill}, and {course}"


def _other_side(reading: Reading) -> Remedy | None:
    """Where each time step has a target, what tells it may come after it."""
    return remedies.bidirectional(reading.evidence.definition) if reading.readout == "each" and reading.axis else None


def _quicker(reading: Reading, budget: float) -> tuple[Remedy, ...]:
    """A longer step where the loss is straight along it, a better optimizer, a longer budget."""
    definition = reading.evidence.definition
    straight = len(reading.rho) > 0 and median(reading.rho) > 0.85
    factor = min(max(0.3 / max(1 - median(reading.rho), 0.03), 2.0), 10.0) if straight else 1.0
    return remedies.offered(
        remedies.raise_rate(reading, factor) if straight else None,
        remedies.adam(definition),
        remedies.more_epochs(definition, max(2, math.ceil(1.5 * budget))),
    )


def _slope(reading: Reading) -> tuple[float, float]:
    """Of the log of the training loss, an epoch, over the last third; and its standard error."""
    losses = reading.evidence.epochs["train_loss"]
    share = 1.0
    if 0 < len(losses) < FEWEST_EPOCHS:  # then by the steps that were sampled
        steps = reading.of_steps("loss")
        losses, share = steps, len(steps) / len(losses)
    losses = losses[-max(len(losses) // 3, FEWEST_EPOCHS) :]
    if len(losses) < FEWEST_EPOCHS or not (np.isfinite(losses).all() and (losses > 0).all()):
        return math.nan, math.nan
    slope, error = regression(np.log(losses))
    return slope * share, error * share


def regression(values: Numbers) -> tuple[float, float]:
    """Slope of a straight line through evenly spaced values by least squares, and its standard error."""
    x = np.arange(len(values)) - (len(values) - 1) / 2
    slope = float(x @ values / (x @ x))
    rest = values - values.mean() - slope * x
    return slope, math.sqrt(float(rest @ rest) / max(len(values) - 2, 1) / float(x @ x))


def _epochs_needed(reading: Reading, slope: float) -> float:
    """Until the skill is what it should be, if the log of the loss goes on falling like this."""
    last = float(reading.evidence.epochs["train_loss"][-1])
    if reading.constant_loss is None or not last > 0:
        return math.inf
    aim = max(at.FAILED_SKILL, (reading.reference or 0.0) - at.NEAR_REFERENCE)
    return max(math.log(last / ((1 - min(aim, 0.99) * reading.attainable) * reading.constant_loss)), 0.0) / -slope


def _is_linear(reading: Reading) -> bool:
    return reading.axis is None and set(activations_of(reading.hidden)) <= {"linear"}
