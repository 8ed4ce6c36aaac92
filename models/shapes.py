"""The shape, parameter and cost algebra of every layer, without torch: a wrong network is refused at the door.

Names and shapes of tensors are those of the modules that `workers/training/networks.py` builds, in their order.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from models.catalogue import DataShape
from models.definitions.initial import Initial, resolve, resolve_linear
from models.definitions.layers import (
    MOST_LAYERS,
    Convolution,
    Dense,
    EmbeddingLayer,
    Frames,
    Norm,
    Output,
    Pooling,
    Readout,
    Recurrent,
    Residual,
)
from models.definitions.network import Network
from models.errors import InvalidDefinition, Problem
from models.expansion import Placed, expand, inner

Shape = tuple[int, ...]
Form = Literal["vector", "grid", "sequence", "tokens"]
"""How a row is laid out: [features]; [channels, *positions]; [time, features]; [time]."""

BYTES = 4
"""Of a float32."""
OPTIMIZER_COPIES = {"sgd": 1, "adam": 2, "adamw": 2, "rmsprop": 2, "adagrad": 1}
"""Tensors of the parameters' size that an optimizer keeps at most (sgd and rmsprop: with momentum)."""
GATES = {"rnn": 1, "gru": 3, "lstm": 4}
HIDDEN_KINDS = ("dense", "convolution", "residual")
PIECES = {"maxout": 2}
"""Affine maps of a unit, where it is not one."""
FORMS: dict[str, Form] = {
    "table": "vector", "image": "grid", "signal": "grid", "sequence": "sequence", "tokens": "tokens",
}  # fmt: skip
FITTING = {
    "table": "dnn",
    "image": "cnn or dnn",
    "signal": "cnn or dnn",
    "sequence": "rnn or dnn",
    "tokens": "rnn, with `embedding`",
}
"""Families that take a kind of data."""
TAKES = {
    "dnn": ("table", "image", "signal", "sequence"),
    "cnn": ("image", "signal"),
    "rnn": ("sequence", "tokens"),
    "sequential": tuple(FORMS),
}


@dataclass(frozen=True)
class Tensor:
    """A trainable tensor, by the name torch gives it."""

    name: str
    shape: Shape

    @property
    def count(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Layer:
    """One layer of the network; shapes are of one row."""

    index: int
    placed: Placed
    kind: str
    input_shape: Shape
    output_shape: Shape
    tensors: tuple[Tensor, ...] = ()
    init: str = "none"
    flops: int = 0
    """Of a row's forward pass: 2 for each multiplication and addition of affine maps; what is element-wise is left
    out."""
    activations: int = 0
    """Numbers of a row that are kept for the backward pass."""
    inner: tuple["Layer", ...] = ()
    """Of a residual block."""
    forward_states: int = 0
    """Of a readout: how many of the features come from the forward direction."""
    embedded: tuple[tuple[int, int], ...] = ()
    """Of an embedding of categories: the first feature of each column that a vector takes the place of, and how many
    features it has."""

    @property
    def name(self) -> str:
        return self.placed.name

    @property
    def pointer(self) -> str:
        return self.placed.pointer

    @property
    def parameters(self) -> int:
        return sum(tensor.count for tensor in self.tensors)


@dataclass(frozen=True)
class Architecture:
    """The layers of a network, input first."""

    layers: tuple[Layer, ...]

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        return tuple(tensor for layer in self.layers for tensor in layer.tensors)

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)

    @property
    def hidden(self) -> tuple[Layer, ...]:
        """The layers whose signal and gradient are measured."""
        return tuple(layer for layer in self.layers if layer.kind in HIDDEN_KINDS)

    @property
    def recurrent(self) -> tuple[Layer, ...]:
        """The recurrent layers, also those within residual blocks."""
        flat = [inside for layer in self.layers for inside in (layer.inner or (layer,))]
        return tuple(layer for layer in flat if layer.kind in GATES)

    def activation_bytes(self, batch_size: int) -> int:
        """What the forward pass of a batch keeps for the backward pass."""
        return BYTES * batch_size * sum(layer.activations for layer in self.layers)

    def memory_bytes(self, optimizer: str, batch_size: int) -> int:
        """What training takes: weights, gradients, optimizer state, a batch's activations and their gradients."""
        copies = 2 + OPTIMIZER_COPIES[optimizer]
        return BYTES * copies * self.parameters + 2 * self.activation_bytes(batch_size)


def trace(network: Network, data: DataShape) -> Architecture:
    """Every layer of a network on this data.

    Raises:
        InvalidDefinition: the network does not fit the data, or itself; all misfits at once.
    """
    problems = list(_misfits_of_data(network, data))
    if problems:
        raise InvalidDefinition(problems)
    tracer = Tracer(data.input_shape, FORMS[data.kind], data)
    tracer.trace(expand(network))
    if sum(max(len(layer.inner), 1) for layer in tracer.layers) > MOST_LAYERS:
        detail = f"The network has more than {MOST_LAYERS} layers; at most {MOST_LAYERS} are allowed."
        tracer.refuse("/network", "too_many_layers", detail, "Leave some out.")
    if tracer.problems:
        raise InvalidDefinition(tracer.problems)
    return Architecture(tuple(tracer.layers))


def same_weights(network: Network, data: DataShape, other: DataShape) -> bool:
    """Whether the network has the tensors on other data that it has on these, and so may be given them."""
    try:
        return trace(network, other).tensors == trace(network, data).tensors
    except InvalidDefinition:
        return False


@dataclass
class Tracer:
    """Collects layers and problems while the shape of a row goes through the network."""

    shape: Shape
    form: Form
    data: DataShape
    layers: list[Layer] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def trace(self, network: list[Placed]) -> None:
        """Layer by layer until one does not fit, for what comes after it then has no shape."""
        for placed in network:
            TRACERS[type(placed.layer)](self, placed, placed.layer)
            if self.problems:
                return

    def add(
        self,
        placed: Placed,
        kind: str,
        output: Shape,
        tensors: list[Tensor] | None = None,
        init: Initial | None = None,
        flops: int = 0,
        activations: int = 0,
        within: tuple[Layer, ...] = (),
        forward_states: int = 0,
        embedded: tuple[tuple[int, int], ...] = (),
    ) -> None:
        named = tuple(Tensor(f"{placed.name}.{tensor.name}", tensor.shape) for tensor in tensors or ())
        layer = Layer(
            len(self.layers),
            placed,
            kind,
            self.shape,
            output,
            named,
            init.kind if init else "none",
            flops,
            activations,
            within,
            forward_states,
            embedded,
        )
        self.layers.append(layer)
        self.shape = output

    def refuse(self, pointer: str, code: str, detail: str, hint: str) -> None:
        self.problems.append(Problem(pointer, code, detail, hint))

    def wants(self, placed: Placed, *forms: Form) -> bool:
        """Whether the row is laid out in one of these forms; if not, that is refused."""
        if self.form in forms:
            return True
        detail = f"A {placed.layer.kind} layer takes a {' or '.join(forms)}; what comes to it is a {self.form}"
        self.refuse(placed.pointer, "wrong_form", f"{detail}, shape {list(self.shape)}.", FORM_HINTS[self.form])
        return False


FORM_HINTS: dict[Form, str] = {
    "vector": "Put it before pooling, readout and dense layers.",
    "grid": 'Put {"kind": "frames"} before it to go on along time, or {"kind": "pooling"} to go on to dense layers.',
    "sequence": 'Recurrent layers take a sequence; {"kind": "readout"} makes one vector of it.',
    "tokens": 'Put {"kind": "embedding", "size": 16} before it.',
}


def _misfits_of_data(network: Network, data: DataShape) -> Iterator[Problem]:
    shape = list(data.input_shape)
    if data.kind not in TAKES[network.family]:
        detail = f"A {network.family} cannot take these data: each row is of kind {data.kind}, shape {shape}."
        yield Problem("/network/family", "wrong_rank", detail, f"Data like these fit {FITTING[data.kind]}.")
        return
    if network.family == "rnn" and data.kind == "tokens" and network.embedding is None:
        detail = "The data are tokens, which a network cannot take as they are."
        yield Problem("/network/embedding", "embedding_needed", detail, 'Add "embedding": {"size": 16}.')
    if network.family == "rnn" and network.forget_bias is not None and network.cell != "lstm":
        detail = f"A {network.cell} cell has no forget gate."
        yield Problem("/network/forget_bias", "no_forget_gate", detail, 'Leave it out, or use "cell": "lstm".')
    each = network.family == "rnn" and network.readout == "each"
    if network.family != "sequential" and data.per_step != each:
        yield _wrong_readout(network, data)


def _wrong_readout(network: Network, data: DataShape) -> Problem:
    if network.family != "rnn":
        detail = f"Each time step of these data has a target of its own, which a {network.family} cannot give."
        return Problem("/network/family", "wrong_readout", detail, 'Use an rnn with "readout": "each".')
    detail = f"The data have {'a target for each time step' if data.per_step else 'one target for each row'}."
    hint = 'Write "each".' if data.per_step else 'Write "last" or "mean".'
    return Problem("/network/readout", "wrong_readout", detail, hint)


def _trace_dense(tracer: Tracer, placed: Placed, layer: Dense) -> None:
    if tracer.form == "tokens":
        tracer.wants(placed, "vector", "grid", "sequence")
        return
    if tracer.form == "grid" or placed.flattens:
        tracer.form, steps, fan_in = "vector", [], math.prod(tracer.shape)
    else:
        *steps, fan_in = tracer.shape
    pieces = PIECES.get(layer.activation, 1)
    tensors = _linear(fan_in, pieces * layer.width, layer.bias) + _norm(layer.norm, pieces * layer.width)
    if layer.residual and fan_in != layer.width:
        tensors.append(Tensor("projection.weight", (layer.width, fan_in)))
    places = math.prod(steps)
    flops = 2 * places * fan_in * layer.width * (pieces + (layer.residual and fan_in != layer.width))
    kept = places * layer.width * _copies(layer)
    tracer.add(placed, "dense", (*steps, layer.width), tensors, resolve(layer.init, layer.activation), flops, kept)


def _copies(layer: Dense | Convolution) -> int:
    """Tensors of the layer's width that are kept for its backward pass."""
    pieces = PIECES.get(layer.activation, 1)
    return pieces * (1 + (layer.norm != "none")) + (layer.activation != "linear") + (layer.dropout > 0)


def _trace_convolution(tracer: Tracer, placed: Placed, layer: Convolution) -> None:
    if not tracer.wants(placed, "grid"):
        return
    channels, *positions = tracer.shape
    pointer = placed.pointer
    extent = layer.dilation * (layer.kernel - 1) + 1
    if extent > min(positions):
        spread = f" with dilation {layer.dilation}" if layer.dilation > 1 else ""
        detail = f"A kernel of {layer.kernel}{spread} covers {extent} positions; its input has {min(positions)}."
        hint = f"Use a kernel of at most {(min(positions) - 1) // layer.dilation + 1}, or pool less before it."
        tracer.refuse(f"{pointer}/kernel", "kernel_too_large", detail, hint)
        return
    output = [convolved(size, layer) for size in positions]
    if layer.residual and output != [-(-size // layer.stride) for size in positions]:
        detail = f"A residual block adds its input to its output, which has {output} positions of {positions}."
        tracer.refuse(f"{pointer}/padding", "residual_misfit", detail, 'Write "same".')
        return
    if layer.pool != "none" and layer.pool_size > min(output):
        detail = f"A pooling window of {layer.pool_size} does not fit into {min(output)} positions."
        tracer.refuse(f"{pointer}/pool_size", "pool_too_large", detail, f"Use at most {min(output)}, or no pooling.")
        return
    pooled = [size // layer.pool_size for size in output] if layer.pool != "none" else output
    tensors = _convolution_tensors(layer, channels, len(positions))
    places = math.prod(output)
    flops = 2 * places * sum(tensor.count for tensor in tensors if len(tensor.shape) > 1)
    kept = layer.filters * (places * _copies(layer) + (math.prod(pooled) if layer.pool != "none" else 0))
    init = resolve(layer.init, layer.activation)
    tracer.add(placed, "convolution", (layer.filters, *pooled), tensors, init, flops, kept)


def convolved(size: int, layer: Convolution) -> int:
    """Positions after the convolution, before pooling."""
    if layer.padding == "same":
        return -(-size // layer.stride)
    extent = layer.dilation * (layer.kernel - 1) + 1
    return (size + 2 * layer.padding - extent) // layer.stride + 1


def _convolution_tensors(layer: Convolution, channels: int, rank: int) -> list[Tensor]:
    filters = PIECES.get(layer.activation, 1) * layer.filters
    tensors = [Tensor("convolution.weight", (filters, channels, *[layer.kernel] * rank))]
    if layer.bias:
        tensors.append(Tensor("convolution.bias", (filters,)))
    tensors += _norm(layer.norm, filters)
    if layer.residual and (channels != layer.filters or layer.stride > 1):
        tensors.append(Tensor("projection.weight", (layer.filters, channels, *[1] * rank)))
    return tensors


def _trace_recurrent(tracer: Tracer, placed: Placed, layer: Recurrent) -> None:
    if not tracer.wants(placed, "sequence"):
        return
    if layer.forget_bias is not None and layer.cell != "lstm":
        detail = f"A {layer.cell} cell has no forget gate."
        tracer.refuse(f"{placed.pointer}/forget_bias", "no_forget_gate", detail, "Leave it out.")
        return
    time, features = tracer.shape
    rows, directions = GATES[layer.cell] * layer.hidden, 2 if layer.bidirectional else 1
    tensors = []
    for suffix in ("", "_reverse")[:directions]:
        tensors += [
            Tensor(f"cell.weight_ih_l0{suffix}", (rows, features)),
            Tensor(f"cell.weight_hh_l0{suffix}", (rows, layer.hidden)),
            Tensor(f"cell.bias_ih_l0{suffix}", (rows,)),
            Tensor(f"cell.bias_hh_l0{suffix}", (rows,)),
        ]
    flops = 2 * time * directions * rows * (features + layer.hidden)
    kept = time * directions * (rows + layer.hidden * (2 if layer.cell == "lstm" else 1))
    init = resolve(layer.init, "linear")
    tracer.add(placed, layer.cell, (time, layer.hidden * directions), tensors, init, flops, kept)


def _trace_embedding(tracer: Tracer, placed: Placed, layer: EmbeddingLayer) -> None:
    if tracer.form != "tokens":
        _trace_categories(tracer, placed, layer)
        return
    (time,) = tracer.shape
    tracer.form = "sequence"
    table = [Tensor("weight", (tracer.data.vocabulary, layer.size))]
    tracer.add(placed, "embedding", (time, layer.size), table, resolve("default", "linear"), 0, time * layer.size)


def _trace_categories(tracer: Tracer, placed: Placed, layer: EmbeddingLayer) -> None:
    found = () if tracer.layers else tuple(column for column in tracer.data.categories if column[1] > layer.size)
    if not found:
        most = max((count for _, count in tracer.data.categories), default=0)
        detail = f"There is nothing to embed: tokens, or, as the first layer, columns of over {layer.size} categories."
        hint = f"Leave it out, or let size be less than {most}." if most > 1 and not tracer.layers else "Leave it out."
        tracer.refuse(placed.pointer, "nothing_to_embed", detail, hint)
        return
    *steps, width = tracer.shape
    places = math.prod(steps)
    vectors = [Tensor(f"columns.{index}.weight", (layer.size, count)) for index, (_, count) in enumerate(found)]
    wide = sum(count for _, count in found)
    narrow = width - wide + layer.size * len(found)
    init = resolve_linear("auto")
    flops = 2 * places * wide * layer.size
    tracer.add(placed, "embedding", (*steps, narrow), vectors, init, flops, places * narrow, embedded=found)


def _trace_frames(tracer: Tracer, placed: Placed, layer: Frames) -> None:
    if tracer.wants(placed, "grid"):
        *bands, time = tracer.shape
        tracer.form = "sequence"
        tracer.add(placed, "frames", (time, math.prod(bands)))


def _trace_pooling(tracer: Tracer, placed: Placed, layer: Pooling) -> None:
    if tracer.wants(placed, "grid"):
        channels, *positions = tracer.shape
        width = channels * math.prod(positions) if layer.mode == "flatten" else channels
        tracer.form = "vector"
        tracer.add(placed, layer.mode, (width,))


def _trace_readout(tracer: Tracer, placed: Placed, layer: Readout) -> None:
    if not tracer.wants(placed, "sequence"):
        return
    if layer.mode != "each":
        tracer.form = "vector"
    output = tracer.shape if layer.mode == "each" else tracer.shape[1:]
    tracer.add(placed, layer.mode, output, forward_states=_forward_states(tracer))


def _forward_states(tracer: Tracer) -> int:
    """All features, but the first half where they are the states of both directions."""
    last = tracer.layers[-1].placed.layer if tracer.layers else None
    last = last.layers[-1] if isinstance(last, Residual) else last
    both = isinstance(last, Recurrent) and last.bidirectional
    return tracer.shape[-1] // (2 if both else 1)


def _trace_residual(tracer: Tracer, placed: Placed, layer: Residual) -> None:
    within = Tracer(tracer.shape, tracer.form, tracer.data)
    within.trace(inner(placed))
    tracer.problems += within.problems
    if within.problems:
        return
    before, after = tracer.shape, within.shape
    for inside in within.layers:
        if isinstance(inside.placed.layer, Convolution) and inside.input_shape[1:] != inside.output_shape[1:]:
            tracer.refuse(*_residual_misfit(inside))
            return
    if within.form != tracer.form:
        detail = f"A residual block adds its input, a {tracer.form}, to what comes out of it, a {within.form}."
        hint = "Put a layer before the block that changes the form."
        tracer.refuse(placed.pointer, "residual_misfit", detail, hint)
        return
    is_grid = tracer.form == "grid"
    axis = 0 if is_grid else -1
    # Parameters of the block come before its projection, as torch names them.
    tensors = [replace(tensor, name=f"body.{tensor.name}") for inside in within.layers for tensor in inside.tensors]
    projection = 0
    if before[axis] != after[axis]:
        shape = (after[axis], before[axis], *[1] * (len(before) - 1 if is_grid else 0))
        tensors.append(Tensor("projection.weight", shape))
        projection = 2 * math.prod(after) * before[axis]
    flops = projection + sum(inside.flops for inside in within.layers)
    kept = math.prod(after) + sum(inside.activations for inside in within.layers)
    tracer.add(placed, "residual", after, tensors, None, flops, kept, tuple(within.layers))


def _residual_misfit(inside: Layer) -> tuple[str, str, str, str]:
    layer = inside.placed.layer
    assert isinstance(layer, Convolution)
    place = "pool" if layer.pool != "none" else "stride" if layer.stride > 1 else "padding"
    before, after = list(inside.input_shape[1:]), list(inside.output_shape[1:])
    detail = f"A residual block adds its input to its output, but here {before} positions become {after}."
    hint = "Pool, or use a stride, in a layer of its own after the block." if place != "padding" else 'Write "same".'
    return f"{inside.pointer}/{place}", "residual_misfit", detail, hint


def _trace_output(tracer: Tracer, placed: Placed, layer: Output) -> None:
    if tracer.form == "tokens":
        tracer.wants(placed, "vector")
        return
    if tracer.form == "grid" or placed.flattens:
        tracer.form, steps, width = "vector", [], math.prod(tracer.shape)
    else:
        *steps, width = tracer.shape
    if (tracer.form == "sequence") != tracer.data.per_step:
        detail = f"The data have {'a target for each time step' if tracer.data.per_step else 'one target for each row'}"
        detail += f", and the last layer gives a {tracer.form} of shape {list(tracer.shape)}."
        hint = "End in a sequence." if tracer.data.per_step else 'Add {"kind": "readout", "mode": "last"}.'
        tracer.refuse("/network/layers", "wrong_readout", detail, hint)
        return
    outputs, places = tracer.data.outputs, math.prod(steps)
    tensors = _linear(width, outputs, layer.bias)
    kept = places * outputs * (1 if layer.ends in ("auto", "linear") else 2)
    flops = 2 * places * width * outputs
    tracer.add(placed, "output", (*steps, outputs), tensors, resolve_linear(layer.init), flops, kept)


def _linear(fan_in: int, width: int, bias: bool) -> list[Tensor]:
    return [Tensor("linear.weight", (width, fan_in))] + ([Tensor("linear.bias", (width,))] if bias else [])


def _norm(norm: Norm, width: int) -> list[Tensor]:
    return [Tensor("norm.weight", (width,)), Tensor("norm.bias", (width,))] if norm != "none" else []


TRACERS: dict[type, Callable[[Tracer, Placed, Any], None]] = {
    Dense: _trace_dense,
    Convolution: _trace_convolution,
    Recurrent: _trace_recurrent,
    EmbeddingLayer: _trace_embedding,
    Frames: _trace_frames,
    Pooling: _trace_pooling,
    Readout: _trace_readout,
    Residual: _trace_residual,
    Output: _trace_output,
}
