"""Units that do not respond any more: saturated, or dead."""

import numpy as np

from models.diagnosis import remedies
from models.diagnosis import thresholds as at
from models.diagnosis.finding import Code, Finding, Remedy
from models.diagnosis.reading import Reading, measured, medians, seen_in


def saturated_at_init(reading: Reading) -> Finding | None:
    """phi'(z) / phi'(0) is 1 in the middle of a sigmoid or tanh and 0 at its flat ends; the gradient is multiplied by
    it (Glorot and Bengio 2010)."""
    saturation = reading.of_layers("saturation")[:1]
    flat = _layers(medians(saturation) < at.SATURATED)
    severity = reading.severity
    if not len(flat) or severity is None:
        return None
    first = flat[0]
    definition = reading.evidence.definition
    explanation = (
        f"Before training the units of {reading.hidden[first].name} are at the flat ends of their activation: "
    )
    explanation += (
        f"their slope is {100 * saturation[0, first]:.2g} % of the steepest. Weights, biases or inputs are too "
    )
    explanation += "large."
    return Finding(
        Code.SATURATED,
        severity,
        explanation,
        (measured("saturation", saturation[:, first], at.SATURATED),),
        layers=_indices(reading, flat),
        first_step=int(reading.hidden_steps[0]),
        remedies=remedies.offered(
            remedies.init_auto(definition),
            remedies.standardise(definition),
            remedies.batch_norm(definition),
            remedies.relu_he(definition),
        ),
    )


def saturated_later(reading: Reading) -> Finding | None:
    """The same, of units that were responsive at first: steps too long drove them there."""
    saturation = reading.of_layers("saturation")
    severity = reading.severity
    if len(saturation) < at.MANY_SAMPLES or severity is None:
        return None
    late = saturation[len(saturation) // 2 :]
    flat = _layers(medians(late) < at.SATURATED)
    flat = [index for index in flat if seen_in(late[:, index] < at.SATURATED)]
    if not flat:
        return None
    first = flat[0]
    since = _since(reading, saturation[:, first] < at.SATURATED)
    explanation = (
        f"The units of {reading.hidden[first].name} have run into the flat ends of their activation since step "
    )
    explanation += f"{since}: their slope is {100 * np.median(late[:, first]):.2g} % of the steepest."
    definition = reading.evidence.definition
    return Finding(
        Code.SATURATED,
        severity,
        explanation,
        (measured("saturation", late[:, first], at.SATURATED),),
        layers=_indices(reading, flat),
        first_step=since,
        remedies=remedies.offered(
            remedies.lower_rate(definition, 0.1), remedies.batch_norm(definition), remedies.relu_he(definition)
        ),
    )


def dying_units(reading: Reading) -> Finding | None:
    """ReLU units that were pushed below 0 for every row get no gradient to come back (Lu et al. 2020)."""
    dead = reading.of_layers("dead")
    severity = reading.severity
    if len(dead) < 2 or severity is None:
        return None
    late = dead[len(dead) // 2 :]
    silent = [
        index for index in range(dead.shape[1]) if dead[0, index] < at.DEAD and seen_in(late[:, index] >= at.DEAD)
    ]
    if not silent:
        return None
    first = silent[0]
    since = _since(reading, dead[:, first] >= at.DEAD)
    explanation = f"Since step {since} {100 * np.median(late[:, first]):.0f} % of the units of "
    explanation += f"{reading.hidden[first].name} are silent on every row of the probe batch."
    return Finding(
        Code.DYING_UNITS,
        severity,
        explanation,
        (measured("dead", late[:, first], at.DEAD),),
        layers=_indices(reading, silent),
        first_step=since,
        remedies=_against_death(reading),
    )


def _against_death(reading: Reading) -> tuple[Remedy, ...]:
    of = reading.evidence.definition
    return remedies.offered(remedies.lower_rate(of, 0.1), remedies.leaky_relu(of), remedies.batch_norm(of))


def _since(reading: Reading, holds: np.ndarray) -> int:
    """The step of the sample from which on it has held."""
    broken = np.flatnonzero(~holds)
    first = int(broken[-1]) + 1 if len(broken) else 0
    return int(reading.hidden_steps[min(first, len(holds) - 1)])


def _layers(holds: np.ndarray) -> list[int]:
    return [int(index) for index in np.flatnonzero(holds)]


def _indices(reading: Reading, hidden: list[int]) -> tuple[int, ...]:
    return tuple(reading.hidden[index].index for index in hidden)
