"""From a definition to a network of torch.

The recipe of the initial weights is part of the contract (docs/reproducibility.md): modules are made in the order of
the layers, each with PyTorch's own initialisation; then, unless `init` is `default`, the weights are drawn anew in the
order of the layers. All draws come from torch's global generator. Names and shapes: `models/shapes.py`.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from models.catalogue import DataShape
from models.definitions import layers as definitions
from models.definitions.initial import Activation, is_auto, is_default, resolve, resolve_linear, resolve_recurrent
from models.definitions.layers import AnyLayer, Norm
from models.definitions.network import Network
from models.expansion import branch_scale
from models.shapes import PIECES, Layer, Shape, trace
from workers.training.initial import draw_recurrent, draw_weights


class Maxout(nn.Module):
    """The larger of two pieces: [rows, 2 n, ...] to [rows, n, ...] along a dimension."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.dimension = dimension

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2, self.dimension)
        return torch.maximum(first, second)


ACTIVATIONS: dict[Activation, Callable[[], nn.Module]] = {
    "linear": nn.Identity,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}
CELLS: dict[str, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
CONVOLUTIONS: dict[int, Callable[..., nn.Module]] = {1: nn.Conv1d, 2: nn.Conv2d}
POOLS: dict[tuple[str, int], Callable[[int], nn.Module]] = {
    ("max", 1): nn.MaxPool1d,
    ("max", 2): nn.MaxPool2d,
    ("average", 1): nn.AvgPool1d,
    ("average", 2): nn.AvgPool2d,
}
ENDINGS: dict[str, Callable[[], nn.Module | None]] = {
    "auto": lambda: None,
    "linear": lambda: None,
    "sigmoid": nn.Sigmoid,
    "softmax": lambda: nn.Softmax(-1),
}


def build(network: Network, data: DataShape) -> nn.Module:
    """The network for data of this shape: [rows, *input_shape] to [rows, outputs], or [rows, time, outputs].

    Draws from torch's global generator; the caller has seeded it.
    """
    layers = trace(network, data).layers
    modules = OrderedDict((layer.name, _module(layer)) for layer in layers)
    scale = branch_scale([layer.placed for layer in layers])
    for layer in layers:
        _draw(modules[layer.name], layer.placed.layer, scale)
    return nn.Sequential(modules)


def _module(layer: Layer) -> nn.Module:
    return MODULES[type(layer.placed.layer)](layer, layer.placed.layer)


def activation_of(activation: Activation, dimension: int) -> nn.Module:
    return Maxout(dimension) if activation == "maxout" else ACTIVATIONS[activation]()


class RowNorm(nn.BatchNorm1d):
    """Batch norm over all rows and time steps of [rows, (time,) features]."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(0, -2)).view_as(x)


DENSE_NORMS: dict[Norm, Callable[[int], nn.Module | None]] = {
    "none": lambda width: None,
    "batch": RowNorm,
    "layer": nn.LayerNorm,
}


def _dropout(share: float) -> nn.Module | None:
    """None where there is none: on a network of a few units a module that does nothing is a cost."""
    return nn.Dropout(share) if share else None


class Dense(nn.Module):
    """dropout(activation(norm(linear(x)))), plus x where it is residual."""

    def __init__(self, shapes: Layer, layer: definitions.Dense) -> None:
        super().__init__()
        self.flattens = shapes.placed.flattens or len(shapes.output_shape) == 1
        fan_in = math.prod(shapes.input_shape) if self.flattens else shapes.input_shape[-1]
        pieces = PIECES.get(layer.activation, 1)
        self.linear = nn.Linear(fan_in, pieces * layer.width, layer.bias)
        self.norm = DENSE_NORMS[layer.norm](pieces * layer.width)
        self.activation = activation_of(layer.activation, -1)
        self.dropout = _dropout(layer.dropout)
        self.residual = layer.residual
        widens = layer.residual and fan_in != layer.width
        self.projection = nn.Linear(fan_in, layer.width, bias=False) if widens else None

    def forward(self, x: Tensor) -> Tensor:
        if self.flattens and x.dim() > 2:
            x = x.flatten(1)
        return finished(self, x, self.linear(x))


def finished(layer: Any, x: Tensor, y: Tensor) -> Tensor:
    """dropout(activation(norm(y))), plus x where the layer is residual. `y`: the affine map of x."""
    if layer.norm:
        y = layer.norm(y)
    y = layer.activation(y)
    if layer.dropout:
        y = layer.dropout(y)
    if layer.residual:
        y = y + (layer.projection(x) if layer.projection else x)
    return y


class Convolution(nn.Module):
    """Like `Dense`, with a convolution for the linear map, and pooling after it."""

    def __init__(self, shapes: Layer, layer: definitions.Convolution) -> None:
        super().__init__()
        channels, rank = shapes.input_shape[0], len(shapes.input_shape) - 1
        convolve, filters = CONVOLUTIONS[rank], PIECES.get(layer.activation, 1) * layer.filters
        sides = _same_padding(layer, shapes.input_shape[1:]) if layer.padding == "same" else []
        # Equal sides are the convolution's own business; it does not copy its input for them.
        self.padding = Padding(sides) if any(before != after for before, after in sides) else None
        padding = layer.padding if layer.padding != "same" else 0 if self.padding else tuple(side for side, _ in sides)
        self.convolution = convolve(
            channels, filters, layer.kernel, layer.stride, padding, layer.dilation, bias=layer.bias
        )
        self.norm = _block_norm(layer.norm, filters, rank)
        self.activation = activation_of(layer.activation, 1)
        self.dropout = _dropout(layer.dropout)
        self.residual = layer.residual
        changes = layer.residual and (channels != layer.filters or layer.stride > 1)
        self.projection = convolve(channels, layer.filters, 1, layer.stride, bias=False) if changes else None
        self.pool = POOLS[layer.pool, rank](layer.pool_size) if layer.pool != "none" else None

    def forward(self, x: Tensor) -> Tensor:
        x = channels_last(x) if x.dim() == 4 else x
        y = finished(self, x, self.convolution(self.padding(x) if self.padding else x))
        return self.pool(y) if self.pool else y


def channels_last(x: Tensor) -> Tensor:
    """An image with its channels side by side in memory, as convolutions are quickest. Of one channel that is a matter
    of strides alone, which torch takes for the other order unless they say so. A trace is for other runtimes, and takes
    the number of rows that it sees for the only one."""
    if torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        return x
    if x.shape[1] == 1:
        return x.reshape(len(x), *x.shape[2:], 1).permute(0, 3, 1, 2)
    return x.contiguous(memory_format=torch.channels_last)


def _same_padding(layer: definitions.Convolution, sizes: Shape) -> list[tuple[int, int]]:
    """Zeros before and after in each dimension, so that there are ceil(n / stride) positions; the odd one after."""
    extent = layer.dilation * (layer.kernel - 1) + 1
    missing = [max((math.ceil(size / layer.stride) - 1) * layer.stride + extent - size, 0) for size in sizes]
    return [(zeros // 2, zeros - zeros // 2) for zeros in missing]


def _block_norm(norm: Norm, filters: int, rank: int) -> nn.Module | None:
    """`layer` is over channels and positions of a row, with one scale and shift a channel."""
    if norm == "none":
        return None
    batch_norm = nn.BatchNorm1d if rank == 1 else nn.BatchNorm2d
    return batch_norm(filters) if norm == "batch" else nn.GroupNorm(1, filters)


class Padding(nn.Module):
    """Zeros around each dimension, (before, after)."""

    def __init__(self, sides: list[tuple[int, int]]) -> None:
        super().__init__()
        self.sides = [side for pair in reversed(sides) for side in pair]  # torch begins with the last dimension

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pad(x, self.sides)


class Recurrent(nn.Module):
    """One recurrent layer: [rows, time, features] to [rows, time, states]."""

    def __init__(self, shapes: Layer, layer: definitions.Recurrent) -> None:
        super().__init__()
        nonlinearity = {"nonlinearity": layer.nonlinearity} if layer.cell == "rnn" else {}
        self.cell = CELLS[layer.cell](
            shapes.input_shape[-1], layer.hidden, batch_first=True, bidirectional=layer.bidirectional, **nonlinearity
        )
        self.dropout = _dropout(layer.dropout)

    def forward(self, x: Tensor) -> Tensor:
        states: Tensor = self.cell(x)[0]
        return self.dropout(states) if self.dropout else states


class Frames(nn.Module):
    """[rows, channels, (bands,) time] to [rows, time, channels x bands]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1, -2).transpose(1, 2)


class Last(nn.Module):
    """The last state; of a backward direction the one at the first time step, its last."""

    def __init__(self, forward_states: int) -> None:
        super().__init__()
        self.forward_states = forward_states

    def forward(self, states: Tensor) -> Tensor:
        if states.shape[2] == self.forward_states:
            return states[:, -1]
        return torch.cat([states[:, -1, : self.forward_states], states[:, 0, self.forward_states :]], dim=1)


class Mean(nn.Module):
    """The mean over dimensions."""

    def __init__(self, *dimensions: int) -> None:
        super().__init__()
        self.dimensions = dimensions

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(self.dimensions)


class Maximum(Mean):
    """The maximum over dimensions."""

    def forward(self, x: Tensor) -> Tensor:
        return x.amax(self.dimensions)


class Residual(nn.Module):
    """x + body(x), x projected where widths differ."""

    def __init__(self, shapes: Layer, layer: definitions.Residual) -> None:
        super().__init__()
        self.body = nn.Sequential(OrderedDict((within.name, _module(within)) for within in shapes.inner))
        projected = bool(shapes.tensors) and shapes.tensors[-1].name == f"{shapes.name}.projection.weight"
        self.projection = _projection(shapes.tensors[-1].shape) if projected else None

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return y + (self.projection(x) if self.projection else x)


def _projection(shape: Shape) -> nn.Module:
    after, before, *ones = shape
    return CONVOLUTIONS[len(ones)](before, after, 1, bias=False) if ones else nn.Linear(before, after, bias=False)


class Output(nn.Module):
    """The linear map to logits, or to the values of a regression, and what the definition lets it end in."""

    def __init__(self, shapes: Layer, layer: definitions.Output) -> None:
        super().__init__()
        self.flattens = len(shapes.output_shape) == 1
        fan_in = math.prod(shapes.input_shape) if self.flattens else shapes.input_shape[-1]
        self.linear = nn.Linear(fan_in, shapes.output_shape[-1], layer.bias)
        self.ending = ENDINGS[layer.ends]()

    def forward(self, x: Tensor) -> Tensor:
        if self.flattens and x.dim() > 2:
            x = x.flatten(1)
        values: Tensor = self.linear(x)
        return self.ending(values) if self.ending else values


class CategoryEmbedding(nn.Module):
    """[rows, (time,) features] with a vector in place of the features that say the category of a column.

    Those features are 1 for the column's category and else 0, standardised like all others, so that a linear map
    without bias looks up the category's vector: its weights' column, in units of the feature's own spread.
    """

    def __init__(self, shapes: Layer, size: int) -> None:
        super().__init__()
        self.columns = nn.ModuleList(nn.Linear(count, size, bias=False) for _, count in shapes.embedded)
        ends = [0, *(start + count for start, count in shapes.embedded)]
        self.widths: list[int] = []
        """Of the parts of a row: what stays before a column, the column, and so on, and what stays behind all."""
        for end, (start, count) in zip(ends, shapes.embedded, strict=False):
            self.widths += [start - end, count]
        self.widths.append(shapes.input_shape[-1] - ends[-1])

    def forward(self, x: Tensor) -> Tensor:
        parts = list(torch.split(x, self.widths, -1))
        for index, column in enumerate(self.columns):
            parts[2 * index + 1] = column(parts[2 * index + 1])
        return torch.cat(parts, -1)


def _embedding(shapes: Layer, layer: definitions.EmbeddingLayer) -> nn.Module:
    if shapes.embedded:
        return CategoryEmbedding(shapes, layer.size)
    return nn.Embedding(shapes.tensors[0].shape[0], layer.size)


def _pooling(shapes: Layer, layer: definitions.Pooling) -> nn.Module:
    positions = tuple(range(2, len(shapes.input_shape) + 1))
    return {"flatten": nn.Flatten(), "average": Mean(*positions), "max": Maximum(*positions)}[layer.mode]


def _readout(shapes: Layer, layer: definitions.Readout) -> nn.Module:
    return {"last": Last(shapes.forward_states), "mean": Mean(1), "each": nn.Identity()}[layer.mode]


@torch.no_grad()
def _draw(module: Any, layer: AnyLayer, branch_scale: float) -> None:
    """Draws the weights of a layer anew, unless its init is PyTorch's own. `branch_scale` is for residual ones."""
    match layer:
        case definitions.Dense() | definitions.Convolution():
            _draw_affine(module, layer, branch_scale if layer.residual else 1.0)
        case definitions.Recurrent():
            inputs = None if is_default(layer.init) else resolve(layer.init, "linear")
            draw_recurrent(module.cell, layer, resolve_recurrent(layer.recurrent_init), inputs)
        case definitions.Residual():
            for within, inner in zip(module.body, layer.layers, strict=True):
                if inner is layer.layers[-1] and not isinstance(inner, definitions.Recurrent):
                    _draw_affine(within, inner, branch_scale)
                else:
                    _draw(within, inner, branch_scale=1.0)
            if module.projection and not is_default(layer.layers[-1].init):
                draw_weights(module.projection.weight, resolve_linear(layer.layers[-1].init))
        case definitions.EmbeddingLayer() if isinstance(module, CategoryEmbedding):
            for weight in module.columns.parameters():
                draw_weights(weight, resolve_linear("auto"))
        case definitions.Output() if not is_default(layer.init):
            draw_weights(module.linear.weight, resolve_linear(layer.init))
            if module.linear.bias is not None:
                module.linear.bias.zero_()


def _draw_affine(module: Any, layer: definitions.Dense | definitions.Convolution, branch_scale: float) -> None:
    affine = module.linear if isinstance(layer, definitions.Dense) else module.convolution
    init = resolve(layer.init, layer.activation)
    if not is_default(layer.init):
        draw_weights(affine.weight, init)
        if is_auto(layer.init):
            affine.weight.mul_(branch_scale)
        if module.projection:
            draw_weights(module.projection.weight, resolve_linear(layer.init))
    if affine.bias is not None and not (is_default(layer.init) and init.bias is None):
        affine.bias.fill_(init.bias or 0.0)


MODULES: dict[type, Callable[[Layer, Any], nn.Module]] = {
    definitions.Dense: Dense,
    definitions.Convolution: Convolution,
    definitions.Recurrent: Recurrent,
    definitions.EmbeddingLayer: _embedding,
    definitions.Frames: lambda shapes, layer: Frames(),
    definitions.Pooling: _pooling,
    definitions.Readout: _readout,
    definitions.Residual: Residual,
    definitions.Output: Output,
}
