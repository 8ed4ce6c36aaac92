"""The shape and parameter algebra of every layer, without torch: a wrong network is refused at the door.

Names and shapes of tensors are those of the modules that `workers/training/networks.py` builds, in their order.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from models.catalogue import DataShape
from models.definitions.network import MOST_LAYERS, Activation, Block, Cnn, Dnn, Init, Network, Norm, Rnn
from models.errors import InvalidDefinition, Problem

Shape = tuple[int, ...]

BYTES = 4
"""Of a float32."""
OPTIMIZER_COPIES = {"sgd": 1, "adam": 2, "adamw": 2}
"""Tensors of the parameters' size that an optimizer keeps (sgd: with momentum)."""
GATES = {"rnn": 1, "gru": 3, "lstm": 4}
FITTING = {"table": "dnn", "image": "cnn or dnn", "sequence": "rnn or dnn", "tokens": "rnn, with `embedding`"}
"""Families that take a kind of data."""


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
    name: str
    kind: str
    input_shape: Shape
    output_shape: Shape
    tensors: tuple[Tensor, ...] = ()
    init: str = "none"
    pointer: str = "/network"

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

    def memory_bytes(self, optimizer: str, batch_size: int) -> int:
        """What training takes: weights, gradients, optimizer state, a batch's activations and their gradients."""
        copies = 2 + OPTIMIZER_COPIES[optimizer]
        activations = sum(math.prod(layer.output_shape) for layer in self.layers)
        return BYTES * (copies * self.parameters + 2 * batch_size * activations)


def trace(network: Network, data: DataShape) -> Architecture:
    """Every layer of a network on this data.

    Raises:
        InvalidDefinition: the network does not fit the data, or itself; all misfits at once.
    """
    problems = list(_misfits_of_data(network, data))
    if problems:
        raise InvalidDefinition(problems)
    tracer = Tracer(data.input_shape)
    TRACERS[network.family](tracer, network, data)
    if len(tracer.layers) > MOST_LAYERS:
        detail = f"The network has {len(tracer.layers)} layers; at most {MOST_LAYERS} are allowed."
        tracer.problems.append(Problem("/network", "too_many_layers", detail, "Leave some out."))
    if tracer.problems:
        raise InvalidDefinition(tracer.problems)
    return Architecture(tuple(tracer.layers))


def init_of(init: Init, activation: Activation) -> str:
    """What `auto` means for this activation."""
    if init != "auto":
        return init
    return {"selu": "lecun", "linear": "xavier", "sigmoid": "xavier", "tanh": "xavier"}.get(activation, "he")


class Tracer:
    """Collects layers and problems while the shape of a row goes through the network."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.layers: list[Layer] = []
        self.problems: list[Problem] = []

    def add(self, name: str, kind: str, output: Shape, tensors: list[Tensor], init: str, pointer: str) -> None:
        named = tuple(Tensor(f"{name}.{tensor.name}", tensor.shape) for tensor in tensors)
        self.layers.append(Layer(len(self.layers), name, kind, self.shape, output, named, init, pointer))
        self.shape = output

    def refuse(self, pointer: str, code: str, detail: str, hint: str) -> None:
        self.problems.append(Problem(pointer, code, detail, hint))


def _misfits_of_data(network: Network, data: DataShape) -> Iterator[Problem]:
    kinds = {"dnn": ("table", "image", "sequence"), "cnn": ("image",), "rnn": ("sequence", "tokens")}[network.family]
    shape = list(data.input_shape)
    if data.kind not in kinds:
        detail = f"A {network.family} cannot take these data: each row is of kind {data.kind}, shape {shape}."
        yield Problem("/network/family", "wrong_rank", detail, f"Data like these fit {FITTING[data.kind]}.")
    elif network.family == "rnn" and data.kind == "tokens" and network.embedding is None:
        detail = "The data are tokens, which a network cannot take as they are."
        yield Problem("/network/embedding", "embedding_needed", detail, 'Add "embedding": {"size": 16}.')
    elif network.family == "rnn" and data.kind != "tokens" and network.embedding is not None:
        detail = f"The data are numbers of shape {shape}, not tokens; there is nothing to embed."
        yield Problem("/network/embedding", "embedding_without_tokens", detail, "Leave it out.")
    each = network.family == "rnn" and network.readout == "each"
    if data.kind in kinds and data.per_step != each:
        yield _wrong_readout(network, data)


def _wrong_readout(network: Network, data: DataShape) -> Problem:
    if network.family != "rnn":
        detail = f"Each time step of these data has a target of its own, which a {network.family} cannot give."
        return Problem("/network/family", "wrong_readout", detail, 'Use an rnn with "readout": "each".')
    detail = f"The data have {'a target for each time step' if data.per_step else 'one target for each row'}."
    hint = 'Write "each".' if data.per_step else 'Write "last" or "mean".'
    return Problem("/network/readout", "wrong_readout", detail, hint)


def _trace_dnn(tracer: Tracer, network: Dnn, data: DataShape) -> None:
    tracer.shape = data.input_shape
    init = init_of(network.init, network.activation)
    for index, width in enumerate(network.hidden):
        fan_in = math.prod(tracer.shape)
        tensors = _linear(fan_in, width, network.bias) + _norm(network.norm, width)
        if network.residual and fan_in != width:
            tensors.append(Tensor("projection.weight", (width, fan_in)))
        tracer.add(f"hidden_{index}", "dense", (width,), tensors, init, f"/network/hidden/{index}")
    _output(tracer, network.init, data.outputs, network.bias)


def _trace_cnn(tracer: Tracer, network: Cnn, data: DataShape) -> None:
    for index, block in enumerate(network.blocks):
        if not _trace_block(tracer, network, block, index):
            return
    channels, *positions = tracer.shape
    width = channels * math.prod(positions) if network.pooling == "flatten" else channels
    tracer.add("pooling", network.pooling, (width,), [], "none", "/network/pooling")
    init = init_of(network.init, network.activation)
    for index, width in enumerate(network.hidden):
        tensors = _linear(tracer.shape[0], width, network.bias)
        tracer.add(f"hidden_{index}", "dense", (width,), tensors, init, f"/network/hidden/{index}")
    _output(tracer, network.init, data.outputs, network.bias)


def _trace_block(tracer: Tracer, network: Cnn, block: Block, index: int) -> bool:
    """Adds a block; false if it does not fit, for what comes after it then has no shape."""
    pointer = f"/network/blocks/{index}"
    channels, *positions = tracer.shape
    extent = block.dilation * (block.kernel - 1) + 1
    if extent > min(positions):
        spread = f" with dilation {block.dilation}" if block.dilation > 1 else ""
        detail = f"A kernel of {block.kernel}{spread} covers {extent} positions; its input has {min(positions)}."
        hint = f"Use a kernel of at most {(min(positions) - 1) // block.dilation + 1}, or pool less before it."
        tracer.refuse(f"{pointer}/kernel", "kernel_too_large", detail, hint)
        return False
    output = [convolved(size, block) for size in positions]
    residual = network.residual if block.residual is None else block.residual
    if residual and output != [-(-size // block.stride) for size in positions]:
        detail = f"A residual block adds its input to its output, which has {output} positions of {positions}."
        tracer.refuse(f"{pointer}/padding", "residual_misfit", detail, 'Write "same".')
        return False
    if block.pool != "none" and block.pool_size > min(output):
        detail = f"A pooling window of {block.pool_size} does not fit into {min(output)} positions."
        tracer.refuse(f"{pointer}/pool_size", "pool_too_large", detail, f"Use at most {min(output)}, or no pooling.")
        return False
    pooled = [size // block.pool_size for size in output] if block.pool != "none" else output
    tensors = _block_tensors(network, block, channels, len(positions), residual)
    init = init_of(network.init, block.activation or network.activation)
    tracer.add(f"block_{index}", "convolution", (block.filters, *pooled), tensors, init, pointer)
    return True


def convolved(size: int, block: Block) -> int:
    """Positions after the convolution, before pooling."""
    if block.padding == "same":
        return -(-size // block.stride)
    extent = block.dilation * (block.kernel - 1) + 1
    return (size + 2 * block.padding - extent) // block.stride + 1


def _block_tensors(network: Cnn, block: Block, channels: int, rank: int, residual: bool) -> list[Tensor]:
    tensors = [Tensor("convolution.weight", (block.filters, channels, *[block.kernel] * rank))]
    if network.bias:
        tensors.append(Tensor("convolution.bias", (block.filters,)))
    tensors += _norm(block.norm or network.norm, block.filters)
    if residual and (channels != block.filters or block.stride > 1):
        tensors.append(Tensor("projection.weight", (block.filters, channels, *[1] * rank)))
    return tensors


def _trace_rnn(tracer: Tracer, network: Rnn, data: DataShape) -> None:
    time = data.input_shape[0]
    if network.embedding is not None:
        size = network.embedding.size
        table = [Tensor("weight", (data.vocabulary, size))]
        tracer.add("embedding", "embedding", (time, size), table, "default", "/network/embedding")
    init = "xavier" if network.init == "auto" else network.init
    directions = 2 if network.bidirectional else 1
    for index in range(network.layers):
        tensors = _recurrent(network, tracer.shape[-1])
        output = (time, network.hidden * directions)
        tracer.add(f"recurrent_{index}", network.cell, output, tensors, init, "/network/hidden")
    read = tracer.shape if network.readout == "each" else tracer.shape[1:]
    tracer.add("readout", network.readout, read, [], "none", "/network/readout")
    for index, width in enumerate(network.head):
        head_init = init_of(network.init, network.activation)
        tensors = _linear(tracer.shape[-1], width, True)
        tracer.add(f"head_{index}", "dense", (*tracer.shape[:-1], width), tensors, head_init, f"/network/head/{index}")
    _output(tracer, network.init, data.outputs, True)


def _recurrent(network: Rnn, features: int) -> list[Tensor]:
    rows = GATES[network.cell] * network.hidden
    tensors = []
    for suffix in ("", "_reverse") if network.bidirectional else ("",):
        tensors += [
            Tensor(f"cell.weight_ih_l0{suffix}", (rows, features)),
            Tensor(f"cell.weight_hh_l0{suffix}", (rows, network.hidden)),
            Tensor(f"cell.bias_ih_l0{suffix}", (rows,)),
            Tensor(f"cell.bias_hh_l0{suffix}", (rows,)),
        ]
    return tensors


def _linear(fan_in: int, width: int, bias: bool) -> list[Tensor]:
    return [Tensor("linear.weight", (width, fan_in))] + ([Tensor("linear.bias", (width,))] if bias else [])


def _norm(norm: Norm, width: int) -> list[Tensor]:
    return [Tensor("norm.weight", (width,)), Tensor("norm.bias", (width,))] if norm != "none" else []


def _output(tracer: Tracer, init: Init, outputs: int, bias: bool) -> None:
    *steps, width = tracer.shape if len(tracer.layers) else (math.prod(tracer.shape),)
    name = "lecun" if init == "auto" else init
    tracer.add("output", "output", (*steps, outputs), _linear(width, outputs, bias), name, "/network")


TRACERS: dict[str, Callable[[Tracer, Any, DataShape], None]] = {"dnn": _trace_dnn, "cnn": _trace_cnn, "rnn": _trace_rnn}
