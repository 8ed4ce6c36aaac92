"""What mean field theory expects of a network before its first step: the gradient gain of each layer.

The gain of a hidden layer l is ||dL/du_l|| / ||dL/du_l+1||, as workers measure it, where u is the pre-activation z, or
the output y of a residual layer. Its square is the product of two factors: how much of the gradient comes back from
u_l+1 to what layer l gives out, fan_in Var(w) of layer l+1 (and 1 more past a residual branch), and how much of that
passes the activation, E[phi'(z)^2], and what lies behind it (Schoenholz et al. 2017; Yang and Schoenholz 2017 for
residual networks). Inputs are taken to have a root mean square of 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from models.definitions.initial import ConstantInit, Initial, is_auto, resolve, resolve_linear, resolve_recurrent
from models.definitions.layers import Convolution, Dense, Output, Recurrent
from models.expansion import branch_scale, is_residual
from models.mean_field import moments, weight_variance
from models.shapes import HIDDEN_KINDS, Architecture, Layer, Shape

SETTLING_STEPS = 200
"""Time steps after which the state of a plain recurrent layer has its final variance."""


@dataclass
class Signal:
    """What a layer gives out, and how much of a gradient at it passes back to u. Pooling and readout change both."""

    second: float
    """Mean square of an element."""
    mean: float = 0.0
    passed: float = 1.0
    """||dL/du||^2 / ||dL/d(what is given out)||^2."""

    def average(self, window: int) -> None:
        self.second = self.mean**2 + max(self.second - self.mean**2, 0.0) / window
        self.passed /= window

    def drop(self, share: float) -> None:
        self.second /= 1 - share
        self.passed /= 1 - share


@dataclass(frozen=True)
class Expectation:
    """Of a network as it is at init."""

    gains: dict[int, float]
    """By the index of the layer; hidden layers whose next layer is not known to theory are left out."""
    time_gains: dict[int, float] = field(default_factory=dict)
    """Of plain recurrent layers: ||dL/dh_t|| / ||dL/dh_t+1||, once the state has settled."""

    @property
    def product(self) -> float:
        """The share of the gradient that comes from the output through all hidden layers to the first."""
        return math.prod(self.gains.values())

    @property
    def mean_gain(self) -> float | None:
        """Geometric mean over the hidden layers."""
        if not self.gains:
            return None
        logs = [math.log(gain) if gain > 0 else -math.inf for gain in self.gains.values()]
        return math.exp(sum(logs) / len(logs))


def expect(architecture: Architecture) -> Expectation:
    """Walks through the network once, signal forward: each affine layer completes the gain of the one before."""
    scale = branch_scale([layer.placed for layer in architecture.layers])
    gains: dict[int, float] = {}
    time_gains: dict[int, float] = {}
    signal: Signal | None = Signal(1.0)
    before: Layer | None = None
    for layer in architecture.layers:
        if layer.kind in (*HIDDEN_KINDS, "output"):
            returned, passed_on = _through(layer, signal, scale) if signal else (None, None)
            if before is not None and signal is not None and returned is not None:
                gains[before.index] = math.sqrt(returned * signal.passed)
            signal, before = passed_on, layer
        elif isinstance(layer.placed.layer, Recurrent):
            signal, time_gain = _recur(layer, layer.placed.layer, signal)
            before = None
            if time_gain is not None:
                time_gains[layer.index] = time_gain
        elif signal is not None:
            signal = _reshape(layer, signal, before)
    return Expectation(gains, time_gains)


def _through(layer: Layer, signal: Signal, scale: float) -> tuple[float | None, Signal | None]:
    """What comes back of ||dL/du||^2 to the layer's input, and what the layer gives out. None: theory cannot say."""
    chosen = layer.placed.layer
    if isinstance(chosen, Output):
        variance = _variance(resolve_linear(chosen.init), layer.tensors[0].shape)
        return (None if variance is None else _fan_in(layer) * variance), None
    if layer.inner:
        return _residual(layer, signal, scale)
    assert isinstance(chosen, Dense | Convolution)
    variance = _weight_variance(layer, chosen, scale if is_residual(chosen) else 1.0)
    if variance is None:
        return None, None
    returned, given = _affine(layer, chosen, signal, variance)
    if not chosen.residual:
        return returned, given
    return _added(layer, signal, returned * given.passed, given, chosen)


def _affine(layer: Layer, chosen: Dense | Convolution, signal: Signal, variance: float) -> tuple[float, Signal]:
    """Of the layer without its skip connection: what comes back from z, and dropout(activation(norm(z))) pooled."""
    fan_in = _fan_in(layer)
    init = resolve(chosen.init, chosen.activation)
    bias_variance = variance if init.kind == "default" and init.bias is None and chosen.bias else 0.0
    q, bias = fan_in * variance * signal.second + bias_variance, (init.bias or 0.0) if chosen.bias else 0.0
    norm = 1.0
    if chosen.norm != "none":
        # The gradient goes through the norm too: it is divided by the deviation of z.
        norm, q, bias = max(q, 1e-300), 1.0, 0.0
    window, averaged = 1, 1
    if isinstance(chosen, Convolution) and chosen.pool != "none":
        positions = chosen.pool_size ** (len(layer.input_shape) - 1)
        window, averaged = (positions, 1) if chosen.pool == "max" else (1, positions)
    passed = moments(chosen.activation, q, window if not chosen.residual else 1, bias)
    given = Signal(passed.second, passed.mean, passed.derivative / norm)
    given.drop(chosen.dropout)
    if averaged > 1 and not chosen.residual:
        given.average(averaged)
    return fan_in * variance, given


def _residual(layer: Layer, signal: Signal, scale: float) -> tuple[float | None, Signal | None]:
    """A block x + body(x): all of its body in a row."""
    given: Signal | None = Signal(signal.second, signal.mean)
    product = 1.0
    for inside in layer.inner:
        chosen = inside.placed.layer
        if not isinstance(chosen, Dense | Convolution) or chosen.residual or given is None:
            return None, None
        variance = _weight_variance(inside, chosen, scale if inside is layer.inner[-1] else 1.0)
        if variance is None:
            return None, None
        returned, given = _affine(inside, chosen, given, variance)
        product *= returned * given.passed
    assert given is not None
    last = layer.inner[-1].placed.layer
    assert isinstance(last, Dense | Convolution)
    return _added(layer, signal, product, given, last)


def _added(
    layer: Layer, signal: Signal, branch: float, given: Signal, chosen: Dense | Convolution
) -> tuple[float | None, Signal]:
    """x, projected where widths differ, plus the branch; u is the sum."""
    skip, second, mean = 1.0, signal.second, signal.mean
    if layer.tensors and layer.tensors[-1].name.endswith("projection.weight"):
        shape = layer.tensors[-1].shape
        variance = _variance(resolve_linear(chosen.init), shape)
        if variance is None:
            return None, Signal(1.0)
        skip = math.prod(shape[1:]) * variance
        second, mean = second * skip, 0.0
    total = Signal(second + given.second + 2 * mean * given.mean, mean + given.mean)
    if not layer.inner and isinstance(chosen, Convolution) and chosen.pool == "average":
        total.average(chosen.pool_size ** (len(layer.input_shape) - 1))
    return skip + branch, total


def _reshape(layer: Layer, signal: Signal, before: Layer | None) -> Signal:
    """Pooling over all positions, or readout."""
    places = math.prod(layer.input_shape[1:])
    if layer.kind in ("average", "mean"):
        signal.average(places if layer.kind == "average" else layer.input_shape[0])
    elif layer.kind == "max" and before is not None and isinstance(before.placed.layer, Convolution):
        # The largest of all positions: as if the block had pooled with a window of all of them.
        chosen = before.placed.layer
        spread = math.sqrt(max(signal.second - signal.mean**2, 0.0))
        largest = moments("linear", 1.0, places)
        mean = signal.mean + spread * largest.mean
        variance = spread**2 * (largest.second - largest.mean**2)
        share = 1.0 if chosen.activation in ("relu", "leaky_relu", "elu", "silu", "gelu", "selu") else signal.passed
        return Signal(mean**2 + variance, mean, share)
    return signal


def _recur(layer: Layer, chosen: Recurrent, signal: Signal | None) -> tuple[Signal | None, float | None]:
    """The state of a plain recurrent layer in the limit of many steps; gates are beyond this theory."""
    if chosen.cell != "rnn" or signal is None:
        return None, None
    inputs, recurrent = resolve(chosen.init, "linear"), resolve_recurrent(chosen.recurrent_init)
    variance = _variance(inputs, (chosen.hidden, layer.input_shape[-1]))
    if variance is None or recurrent.kind == "identity":
        return None, None
    scaled = 1 / 3 if recurrent.kind == "default" else recurrent.gain**2
    # PyTorch's own biases are uniform within 1 / sqrt(hidden), twice, and stay unless the init sets them.
    fixed = layer.input_shape[-1] * variance * signal.second
    fixed += 2 / (3 * chosen.hidden) if inputs.kind == "default" and inputs.bias is None else 0.0
    state = moments(chosen.nonlinearity, fixed)
    for _ in range(min(layer.input_shape[0], SETTLING_STEPS)):
        state = moments(chosen.nonlinearity, fixed + scaled * state.second)
    return Signal(state.second, state.mean), math.sqrt(scaled * state.derivative)


def _weight_variance(layer: Layer, chosen: Dense | Convolution, scale: float) -> float | None:
    weight = next(tensor for tensor in layer.tensors if len(tensor.shape) > 1)
    variance = _variance(resolve(chosen.init, chosen.activation), weight.shape)
    return None if variance is None else variance * (scale**2 if is_auto(chosen.init) else 1.0)


def _variance(init: Initial, shape: Shape) -> float | None:
    """Var(w) of a weight [fan_out, fan_in, *kernel]; None of a constant other than 0, which is not random."""
    if isinstance(init, ConstantInit) and init.value:
        return None
    taps = math.prod(shape[2:])
    options: dict[str, Any] = {name: value for name, value in init if name in ("gain", "std", "bound")}
    fan_out = shape[0] if init.kind == "orthogonal" else shape[0] * taps
    return weight_variance(init.kind, shape[1] * taps, fan_out, **options)


def _fan_in(layer: Layer) -> float:
    """Inputs of a unit; of a convolution the mean over its positions, for its kernel meets fewer at the border."""
    chosen = layer.placed.layer
    if not isinstance(chosen, Convolution):
        weight = next(tensor for tensor in layer.tensors if len(tensor.shape) > 1)
        return weight.shape[1]
    channels, *positions = layer.input_shape
    return channels * math.prod(_taps(size, chosen) for size in positions)


def _taps(size: int, layer: Convolution) -> float:
    """How many taps of a kernel lie within the input, in one dimension, on average."""
    extent = layer.dilation * (layer.kernel - 1) + 1
    if layer.padding == "same":
        outputs = -(-size // layer.stride)
        left = max((outputs - 1) * layer.stride + extent - size, 0) // 2
    else:
        outputs, left = (size + 2 * layer.padding - extent) // layer.stride + 1, layer.padding
    # All taps are within but near the border; a long input is told from its two ends.
    starts = np.unique(np.r_[0 : min(outputs, 4096), max(outputs - 4096, 0) : outputs]) * layer.stride - left
    first = np.maximum(-(starts // layer.dilation), 0)
    last = np.minimum((size - 1 - starts) // layer.dilation, layer.kernel - 1)
    within = np.maximum(last - first + 1, 0)
    return float(within.sum() + (outputs - len(starts)) * layer.kernel) / outputs


def activations_of(layers: Sequence[Layer]) -> list[str]:
    """The activations of these layers, each once, in order of first use."""
    flat = [inside for layer in layers for inside in (layer.inner or (layer,))]
    kinds = [chosen.activation for layer in flat if isinstance(chosen := layer.placed.layer, Dense | Convolution)]
    return list(dict.fromkeys(kinds))
