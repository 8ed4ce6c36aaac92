"""Changes of a definition that make findings go away. Each is a JSON Patch, or None where it would change nothing.

remedies.offered(remedies.standardise(definition), remedies.lower_rate(reading, 0.1))
"""

import math
from collections.abc import Iterator
from typing import Any

from models.definitions.job import JobDefinition
from models.definitions.training import DEFAULT_EPOCHS
from models.diagnosis.finding import Remedy
from models.diagnosis.reading import Reading

LARGEST_RATE, LARGEST_ADAPTIVE_RATE, SMALLEST_RATE = 10.0, 0.1, 1e-7
"""Optimizers that divide by the gradient's size move every weight by about the rate."""
ADAM_RATE = 0.001
LARGEST_NORM = 100.0
MORE_EPOCHS = "more_epochs"
"""The remedy that multiplies a budget."""
Changes = dict[str, Any]
"""New values by JSON Pointer."""


def offered(*remedies: Remedy | None) -> tuple[Remedy, ...]:
    """Those that would change something, the best first, each id once."""
    found: dict[str, Remedy] = {}
    for remedy in filter(None, remedies):
        found.setdefault(remedy.id, remedy)
    return tuple(found.values())


def remedy(definition: JobDefinition, name: str, expected: str, changes: Changes) -> Remedy | None:
    """The patch that gives these places these values; None if they have them."""
    plain = definition.plain()
    differ = {pointer: value for pointer, value in changes.items() if _at(plain, pointer) != value}
    patch = tuple({"op": "replace", "path": pointer, "value": value} for pointer, value in differ.items())
    return Remedy(name, patch, expected) if patch else None


def _at(plain: Any, pointer: str) -> Any:
    for key in pointer.split("/")[1:]:
        plain = plain[int(key)] if isinstance(plain, list) else plain[key]
    return plain


# Data


def standardise(definition: JobDefinition, name: str = "standardise_input") -> Remedy | None:
    expected = "features (and the targets of a regression) with mean 0 and deviation 1"
    return remedy(definition, name, expected, {"/data/normalise": "standard"})


def balanced_classes(definition: JobDefinition) -> Remedy | None:
    expected = "rare classes weigh as much as frequent ones, and the macro F1 rises"
    return remedy(definition, "balanced_classes", expected, {"/training/class_weights": "balanced"})


# Network


def output_auto(definition: JobDefinition) -> Remedy | None:
    expected = "the last layer gives what the loss takes: logits, or any number"
    return remedy(definition, "output_auto", expected, {"/network/output": "auto"})


def init_auto(definition: JobDefinition) -> Remedy | None:
    """The init that fits the activation, with hidden biases of 0; recurrent weights by PyTorch's own."""
    return remedy(definition, "init_auto", "a gain near 1 a layer, before the first step", _every(definition, "init"))


def relu_he(definition: JobDefinition) -> Remedy | None:
    changes = _every(definition, "activation", "relu") | _every(definition, "init", "he")
    return remedy(definition, "relu_he", "a gain near 1 a layer: the slope of a ReLU is 1 where it is not 0", changes)


def leaky_relu(definition: JobDefinition) -> Remedy | None:
    changes = _every(definition, "activation", "leaky_relu") | _every(definition, "init")
    return remedy(definition, "leaky_relu", "no unit is silent: on the left its slope is 0.01", changes)


def batch_norm(definition: JobDefinition) -> Remedy | None:
    expected = "pre-activations of mean 0 and deviation 1 in every layer"
    return remedy(definition, "batch_norm", expected, _every(definition, "norm", "batch"))


def residual(definition: JobDefinition) -> Remedy | None:
    changes = _every(definition, "residual", True) | _every(definition, "init")
    return remedy(definition, "residual", "a gain near 1 a layer: the gradient has a way past each", changes)


def pretraining(definition: JobDefinition, epochs: int = 10) -> Remedy | None:
    """Greedy, layer by layer (Bengio et al. 2007)."""
    if definition.network.family != "dnn" or not definition.network.hidden or definition.training.pretraining:
        return None
    changes = {"/training/pretraining": {"kind": "autoencoder", "epochs": epochs}}
    return remedy(definition, "pretraining", "weights that carry the signal before training begins", changes)


def nonlinear(definition: JobDefinition) -> Remedy | None:
    """An activation where there is none, and a hidden layer where there is none."""
    if definition.network.family == "dnn" and not definition.network.hidden:
        return remedy(definition, "hidden_layer", "boundaries that are not straight", {"/network/hidden": [32]})
    changes = _every(definition, "activation", "relu") | _every(definition, "init")
    return remedy(definition, "relu", "layers that do more than one matrix does", changes)


def convolution(definition: JobDefinition) -> Remedy | None:
    """For a dense network on images or signals: kernels that look alike everywhere (LeCun et al. 1998)."""
    if definition.network.family != "dnn":
        return None
    blocks = [{"filters": filters, "pool": "max"} for filters in (16, 32)]
    network = {"family": "cnn", "blocks": blocks, "hidden": [32], "pooling": "average"}
    return remedy(definition, "convolution", "features that hold wherever they are", {"/network": network})


# Recurrence


def whole_sequence(definition: JobDefinition) -> Remedy | None:
    """For a network that is shown the last time step only."""
    if definition.data.features != "last":
        return None
    changes = {"/data/features": "all", "/network": {"family": "rnn", "cell": "lstm", "hidden": 32}}
    return remedy(definition, "whole_sequence", "a state that carries what came before", changes)


def bidirectional(definition: JobDefinition) -> Remedy | None:
    """Schuster and Paliwal 1997."""
    changes = _recurrent(definition, "bidirectional", True)
    return remedy(definition, "bidirectional", "each time step sees what comes after it, too", changes)


def gated(definition: JobDefinition, cell: str) -> Remedy | None:
    """A cell whose gates let the gradient through; an LSTM begins with them open for about a sequence's length
    (Tallec and Ollivier 2018, chrono initialisation)."""
    return remedy(
        definition, cell, f"{cell.upper()} gates carry the gradient over time", _recurrent(definition, "cell", cell)
    )


def forget_bias(definition: JobDefinition, length: int) -> Remedy | None:
    """Jozefowicz et al. 2015; log(length) by Tallec and Ollivier 2018."""
    bias = round(max(1.0, math.log(max(length, 2))), 1)
    changes = _recurrent(definition, "forget_bias", bias, cells=("lstm",))
    return remedy(definition, "forget_bias", "forget gates that are open for about the whole sequence", changes)


def orthogonal_recurrence(definition: JobDefinition) -> Remedy | None:
    """Saxe et al. 2014; Le et al. 2015."""
    changes = _recurrent(definition, "recurrent_init", "orthogonal")
    return remedy(definition, "orthogonal_recurrence", "recurrent weights that keep the gradient's length", changes)


def default_recurrence(definition: JobDefinition) -> Remedy | None:
    changes = _recurrent(definition, "recurrent_init", "default") | _every(definition, "init")
    return remedy(definition, "recurrent_init", "a gain of at most 1 a time step", changes)


# Training


def lower_rate(reading: Reading, factor: float) -> Remedy | None:
    return _rate(reading, "lower_rate", factor, "steps within the stretch on which the gradient holds: rho of 0.5 on")


def raise_rate(reading: Reading, factor: float) -> Remedy | None:
    return _rate(reading, "raise_rate", factor, "updates of about a thousandth of the weights")


def steady_rate(definition: JobDefinition) -> Remedy | None:
    changes = {"/training/schedule": {"kind": "constant", "warmup_steps": 0}}
    return remedy(definition, "steady_rate", "the whole rate in every step", changes)


def adam(definition: JobDefinition) -> Remedy | None:
    if definition.training.optimizer.kind in ("adam", "adamw"):
        return None
    changes = {"/training/optimizer": {"kind": "adam", "learning_rate": ADAM_RATE}}
    return remedy(definition, "adam", "steps of the same length for every weight, whatever its gradient", changes)


def clip(definition: JobDefinition, norm: float) -> Remedy | None:
    """At a usual norm of the gradient (Pascanu et al. 2013), or at 1 where that is out of the ordinary itself."""
    if not 0 < norm <= LARGEST_NORM:
        norm = 1.0
    changes = {"/training/clip": {"norm": _round(norm), "value": None}}
    return remedy(definition, "clip", "no step is longer than a usual one", changes)


def larger_batch(definition: JobDefinition, size: int) -> Remedy | None:
    if size <= definition.training.batch_size:
        return None
    return remedy(
        definition, "larger_batch", "a gradient that is more signal than noise", {"/training/batch_size": size}
    )


def more_epochs(definition: JobDefinition, factor: float) -> Remedy | None:
    training, changes = definition.training, {}
    if training.epochs is not None or training.max_steps is None:
        changes["/training/epochs"] = min(math.ceil((training.epochs or DEFAULT_EPOCHS) * factor), 1_000_000)
    if training.max_steps is not None:
        changes["/training/max_steps"] = math.ceil(training.max_steps * factor)
    return remedy(definition, MORE_EPOCHS, "the loss goes on falling as it did", changes)


def early_stop(definition: JobDefinition, patience: int) -> Remedy | None:
    if definition.data.validation is None:
        return None
    stop = definition.training.stop
    changes = {"/training/stop": {"patience": patience, "min_delta": 0.0, "tolerance": stop and stop.tolerance}}
    return remedy(definition, "early_stop", "training ends soon after the validation loss is lowest", changes)


def weight_decay(definition: JobDefinition, share: float) -> Remedy | None:
    """Decoupled (Loshchilov and Hutter 2019)."""
    rate = definition.training.optimizer.learning_rate
    kind = definition.training.optimizer.kind
    adamw = {"/training/optimizer": {"kind": "adamw", "learning_rate": rate}} if kind == "adam" else {}
    changes = adamw | {"/training/weight_decay": share}
    return remedy(definition, "weight_decay", "weights stay small, and validation follows training longer", changes)


def dropout(definition: JobDefinition, share: float) -> Remedy | None:
    if definition.network.family == "sequential":
        return None
    return remedy(definition, "dropout", "units that do not rely on each other", {"/network/dropout": share})


def _rate(reading: Reading, name: str, factor: float, expected: str) -> Remedy | None:
    """By a factor of the rate that was measured, which rollbacks may have lowered."""
    definition = reading.evidence.definition
    optimizer = definition.training.optimizer
    before, largest = optimizer.learning_rate, LARGEST_RATE if optimizer.kind == "sgd" else LARGEST_ADAPTIVE_RATE
    rate = _round(min(max(before * reading.slowed * factor, SMALLEST_RATE), max(before, largest)))
    return remedy(definition, name, expected, {"/training/optimizer/learning_rate": rate})


def _round(value: float) -> float:
    """To two digits."""
    return float(f"{value:.2g}")


def _every(definition: JobDefinition, field: str, value: Any = "auto") -> Changes:
    """A field of every affine layer that has it."""
    return {f"{place}/{field}": None if inherits else value for place, inherits in _places(definition, field)}


def _places(definition: JobDefinition, field: str) -> Iterator[tuple[str, bool]]:
    """Where a network says so, and whether what stands there comes from above if it is null."""
    network = definition.network.plain()
    if network["family"] != "sequential":
        if field in network:
            yield "/network", False
        for index, block in enumerate(network.get("blocks", ())):
            if field in block:
                yield f"/network/blocks/{index}", True
        return
    for index, layer in enumerate(network["layers"]):
        for place, inside in ((f"/network/layers/{index}", layer), *_inner(index, layer)):
            if field in inside and inside["kind"] in ("dense", "convolution"):
                yield place, False


def _inner(index: int, layer: Changes) -> Iterator[tuple[str, Changes]]:
    for number, inside in enumerate(layer.get("layers", ())):
        yield f"/network/layers/{index}/layers/{number}", inside


def _recurrent(definition: JobDefinition, field: str, value: Any, cells: tuple[str, ...] = ()) -> Changes:
    """A field of every recurrent layer (of these cells)."""
    network = definition.network.plain()
    if network["family"] == "rnn":
        layers = [("/network", network)]
    else:
        named = [(f"/network/layers/{index}", layer) for index, layer in enumerate(network.get("layers", ()))]
        layers = [(place, layer) for place, layer in named if layer["kind"] == "recurrent"]
    return {f"{place}/{field}": value for place, layer in layers if not cells or layer["cell"] in cells}
