"""Weights that cannot begin to learn: all equal, or such that all units are silent."""

import numpy as np

from models.definitions.initial import ConstantInit, ZerosInit, resolve
from models.definitions.layers import Convolution, Dense
from models.diagnosis import remedies
from models.diagnosis import thresholds as at
from models.diagnosis.finding import Code, Finding, Severity
from models.diagnosis.reading import Reading, single
from models.diagnosis.words import percent
from models.shapes import Layer


def constant_init(reading: Reading) -> Finding | None:
    """Equal weights get equal gradients, so the units of a layer stay copies of each other: a network of width 1
    (Goodfellow et al. 2016, Deep Learning, section 8.4)."""
    constant = [layer for layer in reading.hidden if _is_constant(layer)]
    if not constant:
        return None
    first = constant[0]
    width = first.output_shape[0]
    zero = isinstance(_init(first), ZerosInit)
    explanation = f"All weights of {first.name} begin {'at 0' if zero else 'equal'}, so its {width} units get the same "
    explanation += "gradient and stay copies of one."
    return Finding(
        Code.CONSTANT_INIT,
        Severity.WARNING if (reading.learned or 0.0) >= at.REACHED_SKILL else Severity.FAULT,
        explanation,
        (single("equal_rows", float(width)),),
        layers=tuple(layer.index for layer in constant),
        first_step=0,
        remedies=remedies.offered(remedies.init_auto(reading.evidence.definition)),
    )


def dead_at_init(reading: Reading) -> Finding | None:
    """A unit whose slope is 0 on every row gets no gradient, and passes none on: if nearly all of a layer are so before
    the first step, nothing below it can learn (Lu et al. 2020, Dying ReLU and initialization)."""
    dead = reading.at_init(reading.of_layers("dead"))
    if not len(dead):
        return None
    silent = [index for index, share in enumerate(dead[0]) if share >= at.DEAD]
    if not silent:
        return None
    worst = max(silent, key=lambda index: float(dead[0][index]))
    definition = reading.evidence.definition
    layer = reading.hidden[silent[0]]
    explanation = f"Before the first step {percent(dead[0][silent[0]])} of the units of {layer.name} are silent on "
    explanation += f"every row of the probe batch: no gradient passes them. Silent layers: {len(silent)} of "
    explanation += f"{len(reading.hidden)}."
    return Finding(
        Code.DEAD_AT_INIT,
        _at_init(reading),
        explanation,
        (single("dead", float(dead[0][worst]), at.DEAD),),
        layers=tuple(reading.hidden[index].index for index in silent),
        first_step=0,
        remedies=remedies.offered(
            remedies.init_auto(definition), remedies.leaky_relu(definition), remedies.batch_norm(definition)
        ),
    )


def _at_init(reading: Reading) -> Severity:
    """What stands before the first step is a fault at once, and a warning in a job that learned all the same."""
    learned = reading.learned is not None and reading.learned >= at.FAILED_SKILL
    return Severity.WARNING if learned and reading.outcome_severity is not Severity.FAULT else Severity.FAULT


def _is_constant(layer: Layer) -> bool:
    weights = [tensor for tensor in layer.tensors if len(tensor.shape) > 1]
    several = any(np.prod(tensor.shape) > 1 and tensor.shape[0] > 1 for tensor in weights)
    return several and isinstance(_init(layer), ConstantInit | ZerosInit)


def _init(layer: Layer) -> object:
    chosen = layer.placed.layer
    return resolve(chosen.init, chosen.activation) if isinstance(chosen, Dense | Convolution) else None
