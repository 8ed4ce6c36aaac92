"""From a definition to a network of torch.

The recipe of the initial weights is part of the contract (docs/reproducibility.md): modules are made in the order of
the layers, each with PyTorch's own initialisation; then, unless `init` is `default`, the weights are drawn anew in the
order of `named_parameters`. All draws come from torch's global generator. Names and shapes: `models/shapes.py`.
"""

import math
from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn

from models.catalogue import DataShape
from models.definitions.network import Activation, Block, Cnn, Dnn, Init, Network, Norm, Rnn
from models.shapes import init_of, trace

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
GAINS: dict[Activation, float] = {
    "linear": 1.0,
    "sigmoid": 1.0,
    "tanh": 5 / 3,
    "selu": 1.0,
    "leaky_relu": math.sqrt(2 / (1 + 0.01**2)),
}
"""Of `auto` where it is not sqrt(2), the gain of relu."""
CELLS: dict[str, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
DENSE_NORMS: dict[Norm, Callable[[int], nn.Module]] = {
    "none": nn.Identity,
    "batch": nn.BatchNorm1d,
    "layer": nn.LayerNorm,
}
BLOCK_NORMS: dict[Norm, Callable[[int], nn.Module]] = {
    "none": nn.Identity,
    "batch": nn.BatchNorm2d,
    # Over channels and positions of a row; one scale and shift a channel.
    "layer": lambda filters: nn.GroupNorm(1, filters),
}
POOLS: dict[str, Callable[[int], nn.Module]] = {"none": nn.Identity, "max": nn.MaxPool2d, "average": nn.AvgPool2d}


def build(network: Network, data: DataShape) -> nn.Module:
    """The network for data of this shape: [rows, *input_shape] to [rows, outputs], or [rows, time, outputs].

    Draws from torch's global generator; the caller has seeded it.
    """
    return BUILDERS[type(network)](network, data)


class Dense(nn.Module):
    """dropout(activation(norm(linear(x)))), plus x where it is residual."""

    def __init__(
        self, fan_in: int, width: int, activation: Activation, norm: Norm, dropout: float, bias: bool, residual: bool
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(fan_in, width, bias)
        self.norm = DENSE_NORMS[norm](width)
        self.kind = activation
        self.activation = ACTIVATIONS[activation]()
        self.dropout = nn.Dropout(dropout)
        self.residual = residual
        if residual and fan_in != width:
            self.projection = nn.Linear(fan_in, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.dropout(self.activation(self.norm(self.linear(x))))
        if not self.residual:
            return y
        return y + (self.projection(x) if hasattr(self, "projection") else x)


class Convolution(nn.Module):
    """One block of a cnn: like `Dense`, with a convolution for the linear map, and pooling after it."""

    def __init__(self, channels: int, network: Cnn, block: Block) -> None:
        super().__init__()
        extent = block.dilation * (block.kernel - 1) + 1
        self.padding = SamePadding(extent, block.stride) if block.padding == "same" else nn.Identity()
        padding = 0 if block.padding == "same" else block.padding
        self.convolution = nn.Conv2d(
            channels, block.filters, block.kernel, block.stride, padding, block.dilation, bias=network.bias
        )
        self.norm = BLOCK_NORMS[block.norm or network.norm](block.filters)
        self.kind = block.activation or network.activation
        self.activation = ACTIVATIONS[self.kind]()
        self.dropout = nn.Dropout(network.dropout if block.dropout is None else block.dropout)
        self.residual = network.residual if block.residual is None else block.residual
        if self.residual and (channels != block.filters or block.stride > 1):
            self.projection = nn.Conv2d(channels, block.filters, 1, block.stride, bias=False)
        self.pool = POOLS[block.pool](block.pool_size)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.dropout(self.activation(self.norm(self.convolution(self.padding(x)))))
        if self.residual:
            y = y + (self.projection(x) if hasattr(self, "projection") else x)
        pooled: Tensor = self.pool(y)
        return pooled


class SamePadding(nn.Module):
    """Zeros around, so that a convolution has ceil(n / stride) positions; one more at the end where they are odd."""

    def __init__(self, extent: int, stride: int) -> None:
        super().__init__()
        self.extent = extent
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        sides: list[int] = []
        for size in reversed(x.shape[2:]):
            missing = max((math.ceil(size / self.stride) - 1) * self.stride + self.extent - size, 0)
            sides += [missing // 2, missing - missing // 2]
        return nn.functional.pad(x, sides)


class Recurrent(nn.Module):
    """One recurrent layer: [rows, time, features] to [rows, time, states]."""

    def __init__(self, features: int, network: Rnn) -> None:
        super().__init__()
        nonlinearity = {"nonlinearity": network.nonlinearity} if network.cell == "rnn" else {}
        self.cell = CELLS[network.cell](
            features, network.hidden, batch_first=True, bidirectional=network.bidirectional, **nonlinearity
        )

    def forward(self, x: Tensor) -> Tensor:
        states: Tensor = self.cell(x)[0]
        return states


class Last(nn.Module):
    """The last state; of the backward direction the one at the first time step, its last."""

    def __init__(self, network: Rnn) -> None:
        super().__init__()
        self.hidden = network.hidden

    def forward(self, states: Tensor) -> Tensor:
        return torch.cat([states[:, -1, : self.hidden], states[:, 0, self.hidden :]], dim=1)


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


class Output(nn.Module):
    """The linear map to logits, or to the values of a regression."""

    def __init__(self, fan_in: int, outputs: int, bias: bool = True) -> None:
        super().__init__()
        self.linear = nn.Linear(fan_in, outputs, bias)

    def forward(self, x: Tensor) -> Tensor:
        values: Tensor = self.linear(x)
        return values


def _build_dnn(network: Dnn, data: DataShape) -> nn.Module:
    layers: dict[str, nn.Module] = {"flatten": nn.Flatten()}
    width = math.prod(data.input_shape)
    for index, hidden in enumerate(network.hidden):
        layers[f"hidden_{index}"] = Dense(
            width, hidden, network.activation, network.norm, network.dropout, network.bias, network.residual
        )
        width = hidden
    layers["output"] = Output(width, data.outputs, network.bias)
    return _initialised(layers, network.init, network.activation)


def _build_cnn(network: Cnn, data: DataShape) -> nn.Module:
    layers: dict[str, nn.Module] = {}
    channels = data.input_shape[0]
    for index, block in enumerate(network.blocks):
        layers[f"block_{index}"] = Convolution(channels, network, block)
        channels = block.filters
    layers["pooling"] = {"flatten": nn.Flatten(), "average": Mean(2, 3), "max": Maximum(2, 3)}[network.pooling]
    width = trace(network, data).layers[len(network.blocks)].output_shape[0]
    for index, hidden in enumerate(network.hidden):
        layers[f"hidden_{index}"] = Dense(
            width, hidden, network.activation, "none", network.dropout, network.bias, residual=False
        )
        width = hidden
    layers["output"] = Output(width, data.outputs, network.bias)
    return _initialised(layers, network.init, network.activation)


def _build_rnn(network: Rnn, data: DataShape) -> nn.Module:
    layers: dict[str, nn.Module] = {}
    features = data.input_shape[-1]
    if network.embedding is not None:
        features = network.embedding.size
        layers["embedding"] = nn.Embedding(data.vocabulary, features)
    for index in range(network.layers):
        layers[f"recurrent_{index}"] = Recurrent(features, network)
        features = network.hidden * (2 if network.bidirectional else 1)
        between = "readout_dropout" if index == network.layers - 1 else f"dropout_{index}"
        layers[between] = nn.Dropout(network.dropout)
    layers["readout"] = {"last": Last(network), "mean": Mean(1), "each": nn.Identity()}[network.readout]
    for index, hidden in enumerate(network.head):
        layers[f"head_{index}"] = Dense(features, hidden, network.activation, "none", 0.0, True, residual=False)
        features = hidden
    layers["output"] = Output(features, data.outputs)
    return _initialised(layers, network.init, network.activation)


BUILDERS: dict[type, Callable[..., nn.Module]] = {Dnn: _build_dnn, Cnn: _build_cnn, Rnn: _build_rnn}


@torch.no_grad()
def _initialised(layers: dict[str, nn.Module], init: Init, activation: Activation) -> nn.Module:
    """The layers in a row, their weights drawn anew unless `init` is PyTorch's own."""
    if init != "default":
        branches = sum(getattr(layer, "residual", False) for layer in layers.values())
        for layer in layers.values():
            _draw(layer, init, activation, 1 / math.sqrt(branches) if branches else 1.0)
    return nn.Sequential(OrderedDict(layers))


def _draw(layer: nn.Module, init: Init, activation: Activation, branch_scale: float) -> None:
    if isinstance(layer, Recurrent):
        for name, parameter in layer.cell.named_parameters():
            if name.startswith("weight_ih"):
                for gate in torch.split(parameter, layer.cell.hidden_size):
                    draw_weights(gate, init, "linear" if init == "auto" else activation)
    elif isinstance(layer, Dense | Convolution):
        main = layer.linear if isinstance(layer, Dense) else layer.convolution
        own = layer.kind
        draw_weights(main.weight, init, own)
        if init == "auto" and layer.residual:
            main.weight.mul_(branch_scale)
        if main.bias is not None:
            main.bias.zero_()
        if hasattr(layer, "projection"):
            draw_weights(layer.projection.weight, "lecun" if init == "auto" else init, "linear")
    elif isinstance(layer, Output):
        draw_weights(layer.linear.weight, "lecun" if init == "auto" else init, activation)
        if layer.linear.bias is not None:
            layer.linear.bias.zero_()


def draw_weights(weight: Tensor, init: Init, activation: Activation) -> None:
    """Normal weights: he gain / sqrt(fan_in); lecun 1 / sqrt(fan_in); xavier gain sqrt(2 / (fan_in + fan_out)).

    The gain is the activation's under `auto`; sqrt(2) for `he` and 1 for the others by name.
    """
    kind = init_of(init, activation)
    gain = GAINS.get(activation, math.sqrt(2)) if init == "auto" else {"he": math.sqrt(2)}.get(kind, 1.0)
    fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(weight)
    fan = (fan_in + fan_out) / 2 if kind == "xavier" else fan_in
    nn.init.normal_(weight, 0.0, gain / math.sqrt(fan))
