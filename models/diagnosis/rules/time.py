"""Gradients that grow or shrink from time step to time step of a recurrent network.

dL/dh_t goes back through the recurrent weights and the slope of the activation once a time step, so its norm is
geometric in t (Hochreiter 1991; Bengio et al. 1994; Pascanu et al. 2013): g_t a step, and a horizon of 1/|ln g_t|.
"""

import math

import numpy as np

from models.definitions.layers import Recurrent
from models.diagnosis import remedies
from models.diagnosis import thresholds as at
from models.diagnosis.finding import Code, Finding, Remedy
from models.diagnosis.reading import Reading, measured, median, seen_in
from models.diagnosis.words import about, left_of, percent


def exploding_at_init(reading: Reading) -> Finding | None:
    """A gradient that explodes over time before the first step, and then."""
    return _exploding(reading, from_the_start=True)


def exploding_time(reading: Reading) -> Finding | None:
    """One that came to explode while it trained: then other causes are asked for first."""
    return _exploding(reading, from_the_start=False)


def _exploding(reading: Reading, from_the_start: bool) -> Finding | None:
    """A gain above 1 sustained over the sequence. Where every time step has a loss of its own, or a share in the mean,
    the gradient grows toward the first by addition too: up to the length, which is taken off."""
    severity = reading.clear_severity if from_the_start else reading.severity
    if reading.axis is None or severity is None or not reading.kept_over_time.size:
        return None
    length = reading.axis.length
    added = 1 if reading.readout == "last" else length
    kept = reading.kept_over_time.max(axis=1) / added
    gain = _a_step(kept, length)
    early = slice(0, at.MANY_SAMPLES)
    beyond = ~np.isfinite(reading.time_norms).all(axis=(1, 2))
    grown = (gain > at.GROWING_TIME) & (kept > at.GROWN_TIME) | np.isposinf(kept) | beyond
    if not (reading.at_init(grown).any() if from_the_start else seen_in(grown[early]) or seen_in(grown)):
        return None
    explanation = f"Each time step back multiplies the gradient by {median(gain[early]):.3g}; from the last of "
    explanation += (
        f"{length} to the first it grows {median(kept[early]):.1g} times, so a small change of the first moves "
    )
    explanation += "the last one wildly, and steps overshoot."
    definition = reading.evidence.definition
    plain = _cells(reading) == {"rnn"}
    return Finding(
        Code.EXPLODING_TIME,
        severity,
        explanation,
        (measured("gain_per_time_step", gain[early], at.GROWING_TIME),),
        layers=_layers(reading),
        first_step=int(reading.evidence.samples["time"].steps[0]),
        remedies=remedies.offered(
            remedies.default_recurrence(definition),
            remedies.gated(definition, "gru") if plain else None,
            remedies.clip(definition, median(reading.gradient_norms)),
            remedies.lower_rate(reading, 1 / 3),
        ),
    )


def vanishing_time(reading: Reading) -> Finding | None:
    """Too little is left at the far end of the sequence. Only where the last state alone is read: elsewhere each time
    step has a gradient of its own."""
    severity = reading.severity
    if reading.axis is None or severity is None or reading.readout != "last" or not reading.kept_over_time.size:
        return None
    kept = reading.kept_over_time.max(axis=1)  # the layer or direction that keeps most is the one that counts
    if not (median(kept) < at.LOST_TIME and seen_in(kept < at.LOST_TIME)):
        return None
    length = reading.axis.length
    gain = _a_step(kept, length)
    middle = median(gain)
    explanation = f"Each time step back passes on {percent(middle)} of the gradient; from the last of {length} to "
    explanation += f"the first {left_of(median(kept))} of it is left."
    if 0 < middle < 1:
        explanation += f" What is more than {about(1 / abs(math.log(middle)))} time steps back is hardly learned from."
    return Finding(
        Code.VANISHING_TIME,
        severity,
        explanation,
        (
            measured("gain_per_time_step", gain, None, _expected(reading)),
            measured("gain_of_all_time_steps", kept, at.LOST_TIME),
        ),
        layers=_layers(reading),
        first_step=int(reading.evidence.samples["time"].steps[0]),
        remedies=_against_vanishing(reading, length),
    )


def _against_vanishing(reading: Reading, length: int) -> tuple[Remedy, ...]:
    definition = reading.evidence.definition
    plain = _cells(reading) == {"rnn"}
    return remedies.offered(
        remedies.gated(definition, "gru") if plain else None,
        remedies.forget_bias(definition, length) if "lstm" in _cells(reading) else None,
        remedies.gated(definition, "gru"),
        remedies.orthogonal_recurrence(definition),
        remedies.more_epochs(definition, 3),
    )


def _a_step(kept: np.ndarray, length: int) -> np.ndarray:
    """The gain a time step that comes to this over the sequence."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(kept ** (1 / max(length - 1, 1)))


def _cells(reading: Reading) -> set[str]:
    layers = [layer.placed.layer for layer in reading.evidence.architecture.recurrent]
    return {layer.cell for layer in layers if isinstance(layer, Recurrent)}


def _layers(reading: Reading) -> tuple[int, ...]:
    assert reading.axis is not None
    return tuple(sorted({int(layer["layer"]) for layer in reading.axis.layers}))


def _expected(reading: Reading) -> float | None:
    gains = list(reading.evidence.expectation.time_gains.values())
    return gains[0] if gains else None
