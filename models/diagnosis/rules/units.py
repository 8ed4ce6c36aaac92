"""Units that do not respond any more: saturated, or dead."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.diagnosis import remedies
from models.diagnosis import thresholds as at
from models.diagnosis.finding import Code, Finding
from models.diagnosis.reading import Reading, for_good, measured, medians, seen_in
from models.diagnosis.words import percent


def saturated_at_init(reading: Reading) -> Finding | None:
    """phi'(z) / phi'(0) is 1 in the middle of a sigmoid or tanh and 0 at its flat ends; the gradient is multiplied by
    it (Glorot and Bengio 2010)."""
    saturation = reading.at_init(reading.of_layers("saturation"))
    slopes = medians(saturation)
    flat = _layers(slopes < at.SATURATED)
    widely = _layers(slopes < at.SATURATED_ALL)
    if len(slopes) and len(widely) >= max(len(slopes) / 2, 2):
        flat = widely
    severity = reading.outcome_severity
    if not flat or severity is None:
        return None
    first = flat[0]
    definition = reading.evidence.definition
    explanation = f"Before training the units of {reading.hidden[first].name} are at the flat ends of their "
    explanation += (
        f"activation: their slope is {percent(saturation[0, first])} of the steepest. Weights, biases or inputs "
    )
    explanation += "are too large."
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
    flat = _lately(saturation < at.SATURATED)
    if not flat:
        return None
    first = flat[0]
    since = _since(reading, saturation[:, first] < at.SATURATED)
    late = _late(saturation)
    explanation = f"The units of {reading.hidden[first].name} have run into the flat ends of their activation since "
    explanation += f"step {since}: their slope is {percent(np.median(late[:, first]))} of the steepest."
    definition = reading.evidence.definition
    return Finding(
        Code.SATURATED,
        severity,
        explanation,
        (measured("saturation", late[:, first], at.SATURATED),),
        layers=_indices(reading, flat),
        first_step=since,
        remedies=remedies.offered(
            remedies.lower_rate(reading, 0.1),
            remedies.batch_norm(definition),
            remedies.relu_he(definition),
        ),
    )


def dying_units(reading: Reading) -> Finding | None:
    """ReLU units that were pushed below 0 for every row get no gradient to come back (Lu et al. 2020)."""
    dead = reading.of_layers("dead")
    severity = reading.severity
    if len(dead) < 2 or severity is None:
        return None
    silent = [index for index in _lately(dead >= at.DEAD) if dead[0, index] < at.DEAD]
    if not silent:
        return None
    first = silent[0]
    since = _since(reading, dead[:, first] >= at.DEAD)
    late = _late(dead)
    definition = reading.evidence.definition
    explanation = f"Since step {since} {percent(np.median(late[:, first]))} of the units of "
    explanation += f"{reading.hidden[first].name} are silent on every row of the probe batch."
    return Finding(
        Code.DYING_UNITS,
        severity,
        explanation,
        (measured("dead", late[:, first], at.DEAD),),
        layers=_indices(reading, silent),
        first_step=since,
        remedies=remedies.offered(
            remedies.lower_rate(reading, 0.1),
            remedies.leaky_relu(definition),
            remedies.batch_norm(definition),
        ),
    )


def _late(values: NDArray[Any]) -> NDArray[Any]:
    """The second half of the samples."""
    return values[len(values) // 2 :]


def _lately(holds: NDArray[np.bool_]) -> list[int]:
    """Hidden layers in which something holds in nearly all of the second half."""
    return [index for index, column in enumerate(_late(holds).T) if seen_in(column)]


def _since(reading: Reading, holds: NDArray[np.bool_]) -> int:
    """The step of the sample from which on it has held, or of the last one."""
    first = for_good(holds)
    return int(reading.hidden_steps[-1 if first is None else first])


def _layers(holds: NDArray[np.bool_]) -> list[int]:
    return [int(index) for index in np.flatnonzero(holds)]


def _indices(reading: Reading, hidden: list[int]) -> tuple[int, ...]:
    return tuple(reading.hidden[index].index for index in hidden)
