"""Data far from the scale that inits and learning rates are made for."""

from models.diagnosis import remedies
from models.diagnosis import thresholds as at
from models.diagnosis.finding import Code, Finding
from models.diagnosis.reading import Reading, single


def unnormalised_input(reading: Reading) -> Finding | None:
    """The gradient of the first layer is proportional to its inputs, its curvature to their square, and the condition
    of the problem is that of their covariance (LeCun et al. 1998, Efficient BackProp, section 4.3)."""
    facts = reading.evidence.facts
    rms, smallest, largest = (facts.get(name) for name in ("input_rms", "feature_std_min", "feature_std_max"))
    if rms is None:
        return None
    uneven = largest / smallest if smallest and largest else 1.0
    # What the network learned in spite of it says little for the scale where its steps overshoot.
    severity = (reading.clear_severity if reading.overshoots or reading.is_thrown else None) or reading.mild_severity
    if not (rms > at.LARGE_INPUT_RMS or uneven > at.UNEVEN_FEATURES):
        return None
    explanation = f"The features have a root mean square of {rms:.3g}"
    if uneven > at.UNEVEN_FEATURES:
        explanation += f", and deviations from {smallest:.2g} to {largest:.2g}"
    explanation += "; standardised they would all have 1. A rate that suits one of them is wrong for the others, and "
    explanation += "the first layer saturates or overshoots."
    return Finding(
        Code.UNNORMALISED_INPUT,
        severity,
        explanation,
        (single("input_rms", rms, at.LARGE_INPUT_RMS), single("feature_std_ratio", uneven, at.UNEVEN_FEATURES)),
        layers=(0,),
        first_step=0,
        remedies=remedies.offered(remedies.standardise(reading.evidence.definition)),
    )


def unnormalised_target(reading: Reading) -> Finding | None:
    """Outputs begin near 0 with a deviation of about 1; the error, and with it every gradient, is as large as the
    targets."""
    facts = reading.evidence.facts
    rms, deviation = facts.get("target_rms"), facts.get("target_std")
    if rms is None or deviation is None:
        return None
    severity = reading.mild_severity
    if not (rms > at.LARGE_TARGET or deviation < at.SMALL_TARGET):
        return None
    explanation = f"The targets have a root mean square of {rms:.3g} and a deviation of {deviation:.3g}, where the "
    explanation += "network begins with outputs of about 1: errors and gradients are that much too large or small."
    return Finding(
        Code.UNNORMALISED_TARGET,
        severity,
        explanation,
        (single("target_rms", rms, at.LARGE_TARGET), single("target_std", deviation, at.SMALL_TARGET)),
        layers=(len(reading.evidence.architecture.layers) - 1,),
        first_step=0,
        remedies=remedies.offered(remedies.standardise(reading.evidence.definition, "standardise_target")),
    )
