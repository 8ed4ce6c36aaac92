"""Gradients that grow or shrink from layer to layer.

The gain of layer l is ||dL/dz_l|| / ||dL/dz_l+1||. Mean field theory expects sqrt(fan_in Var(w) E[phi'(z)^2]) of it
(Schoenholz et al. 2017); at 1 a network is as deep as one likes. Gradients of weights would not tell: dL/dW_l is
dL/dz_l times a_l-1, and where the one shrinks the other grows.
"""

import math

import numpy as np

from models.diagnosis import remedies
from models.diagnosis import thresholds as at
from models.diagnosis.finding import Code, Finding, Measured, Remedy
from models.diagnosis.reading import Reading, measured, median, single
from models.diagnosis.words import about, counted, left_of, percent
from models.expectation import activations_of
from models.mean_field import depth_budget


def exploding_depth(reading: Reading) -> Finding | None:
    """Gain far above 1 before training, and a first loss far above that of guessing."""
    severity = reading.clear_severity or reading.mild_severity
    gain, product = _at_init(reading)
    loss = reading.first_loss
    beyond = reading.overflows
    grows = gain > at.GAIN_HIGH or product > at.GROWN_DEPTH or reading.growth > at.GROWN_SIGNAL or beyond is not None
    bad = loss is None or not math.isfinite(loss) or loss > at.LARGE_LOSS
    if not (grows and bad):
        return None
    if beyond is None:
        explanation = f"Before training each of {counted(len(reading.hidden), 'layer')} multiplies the gradient by "
        explanation += f"{gain:.2g}, all together by {product:.2g}. {_expected(reading)}"
        if reading.growth > at.GROWN_SIGNAL:
            explanation += f" From the first layer to the last the signal grows {reading.growth:.2g} times."
    else:
        explanation = (
            f"Before training the signal grows until it is larger than a float can be in layer {beyond + 1} of "
        )
        explanation += f"{len(reading.hidden)}. {_expected(reading)}"
    if loss is not None and math.isfinite(loss):
        explanation += f" The first loss is {loss:.3g} times that of guessing."
    definition = reading.evidence.definition
    return Finding(
        Code.EXPLODING_DEPTH,
        severity,
        explanation,
        (
            _gain(reading, at.GAIN_HIGH, 1),
            single("gain_of_all_layers", product, at.GROWN_DEPTH),
            single("growth_of_signal", reading.growth, at.GROWN_SIGNAL),
            single("first_loss", loss, at.LARGE_LOSS),
        ),
        layers=tuple(layer.index for layer in reading.hidden),
        first_step=_first_step(reading),
        remedies=remedies.offered(
            remedies.init_auto(definition),
            remedies.clip(definition, median(reading.gradient_norms)),
            remedies.batch_norm(definition),
            remedies.lower_rate(reading, 1 / 3),
        ),
    )


def lost_gradient(reading: Reading) -> Finding | None:
    """Vanishing beyond doubt: the first layers do not move, whatever else is wrong."""
    return _vanishing(reading, at.LOST_ALTOGETHER)


def vanishing_depth(reading: Reading) -> Finding | None:
    """Vanishing that other causes may look like; theirs are asked for first."""
    return _vanishing(reading, at.LOST_DEPTH)


def _vanishing(reading: Reading, lost: float) -> Finding | None:
    severity = reading.outcome_severity
    gain, product = _at_init(reading)
    if severity is None or math.isnan(product):
        return None
    low = gain < at.GAIN_LOW or product < at.LOST_DEPTH**2
    # It need not stay so: a network that begins to learn in spite of it gets its gradient back, but late.
    if not (low and product < lost):
        return None
    budget = depth_budget(gain)
    depth = counted(len(reading.hidden), "layer")
    explanation = f"Each {_kind(reading)} layer passes on {percent(gain)} of the gradient; after {depth} "
    explanation += f"{left_of(product)} of it is left, so the first ones hardly move. {_expected(reading)}"
    if budget:
        explanation += f" With this gain {about(budget)} layers lose a factor of 1000."
    return Finding(
        Code.VANISHING_DEPTH,
        severity,
        explanation,
        (
            _gain(reading, at.GAIN_LOW),
            measured("gain_of_all_layers", reading.products, at.LOST_DEPTH, reading.evidence.expectation.product),
        ),
        layers=_lost_layers(reading),
        first_step=_first_step(reading),
        remedies=_against_vanishing(reading, gain),
    )


def _against_vanishing(reading: Reading, gain: float) -> tuple[Remedy, ...]:
    """By cause: a sigmoid cannot have a gain of 1 with any init; other activations can."""
    definition = reading.evidence.definition
    sigmoid = "sigmoid" in activations_of(reading.hidden)
    return remedies.offered(
        remedies.relu_he(definition) if sigmoid else remedies.init_auto(definition),
        remedies.residual(definition),
        remedies.batch_norm(definition),
        remedies.pretraining(definition),
        remedies.relu_he(definition),
    )


def _at_init(reading: Reading) -> tuple[float, float]:
    """Mean gain a layer and product of all, before training; NaN where there are no hidden layers."""
    return median(reading.at_init(reading.mean_gains)), median(reading.at_init(reading.products))


def _gain(reading: Reading, threshold: float, samples: int | None = None) -> Measured:
    return measured("gain_per_layer", reading.mean_gains[:samples], threshold, reading.evidence.expectation.mean_gain)


def _expected(reading: Reading) -> str:
    mean = reading.evidence.expectation.mean_gain
    if mean is None:
        return "Theory has no expectation for these layers."
    if not len(reading.hidden_steps):
        return "That is what theory expects of this init; the layers were not watched (`gradients.activations`)."
    return f"Theory expects {mean:.2g} a layer of this init."


def _kind(reading: Reading) -> str:
    return " and ".join(activations_of(reading.hidden))


def _first_step(reading: Reading) -> int | None:
    return int(reading.hidden_steps[0]) if len(reading.hidden_steps) else None


def _lost_layers(reading: Reading) -> tuple[int, ...]:
    """Those that less than LOST_DEPTH of the gradient reaches."""
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        left = np.exp(np.cumsum(np.log(reading.gains[: at.INIT_SAMPLES])[:, ::-1], axis=1))[:, ::-1]
    return tuple(
        layer.index
        for layer, share in zip(reading.hidden, np.median(left, axis=0), strict=True)
        if share < at.LOST_DEPTH
    )
