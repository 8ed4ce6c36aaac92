"""Which network to train: a union on `family`.

A hidden layer or block computes `dropout(activation(norm(affine(x))))`, and adds x to that when it is residual.
"""

from typing import Annotated, Literal

from pydantic import Field

from models.definitions.base import Several, Strict

Activation = Literal["linear", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu", "gelu", "silu"]
Norm = Literal["none", "batch", "layer"]
Init = Literal["auto", "default", "he", "xavier", "lecun"]
Width = Annotated[int, Field(ge=1, le=2**53)]
Share = Annotated[float, Field(ge=0, lt=1)]

MOST_LAYERS = 1_000


class Block(Strict):
    """One convolution of a cnn, and the pooling after it."""

    filters: Width
    """Output channels."""
    kernel: Width = 3
    """Height and width of the kernel."""
    stride: Width = 1
    padding: Literal["same"] | Annotated[int, Field(ge=0, le=2**20)] = "same"
    """`same`: the output has ceil(n / stride) positions. A number: that many zeros on each side."""
    dilation: Width = 1
    """Distance between the taps of the kernel."""
    pool: Literal["none", "max", "average"] = "none"
    pool_size: Width = 2
    """Size and stride of the pooling window; positions that do not fill a window are dropped."""
    activation: Activation | None = None
    """`null`: the network's."""
    norm: Norm | None = None
    """`null`: the network's."""
    dropout: Share | None = None
    """`null`: the network's."""
    residual: bool | None = None
    """`null`: the network's."""


class Dnn(Strict):
    """Fully connected layers. The input is flattened."""

    family: Literal["dnn"]
    hidden: Annotated[Several[Width], Field(max_length=MOST_LAYERS - 1)]
    """Widths of the hidden layers; `[]` is the perceptron."""
    activation: Activation = "relu"
    residual: bool = False
    """Each hidden layer adds its input to its output; where widths differ the input is projected linearly."""
    norm: Norm = "none"
    """Normalisation between the affine map and the activation."""
    dropout: Share = 0.0
    """Share of a hidden layer's outputs set to zero while training."""
    bias: bool = True
    init: Init = "auto"
    """`auto`: He for the relu family, LeCun for selu, Xavier otherwise. `default`: PyTorch's own."""


class Cnn(Strict):
    """Convolution blocks, then fully connected layers. Takes images [channels, height, width]."""

    family: Literal["cnn"]
    blocks: Annotated[Several[Block], Field(min_length=1, max_length=MOST_LAYERS - 2)]
    pooling: Literal["flatten", "average", "max"] = "flatten"
    """What becomes of the last block's positions: kept side by side, or their average or maximum per channel."""
    hidden: Annotated[Several[Width], Field(max_length=MOST_LAYERS - 3)] = ()
    """Widths of the fully connected layers after the blocks."""
    activation: Activation = "relu"
    residual: bool = False
    """Each block adds its input to its output, before pooling; projected by a 1x1 convolution where shapes differ."""
    norm: Norm = "none"
    """Normalisation in the blocks."""
    dropout: Share = 0.0
    """Dropout after blocks and fully connected layers."""
    bias: bool = True
    init: Init = "auto"


class Embedding(Strict):
    """A learned vector for each token."""

    size: Width
    """Length of the vector."""


class Rnn(Strict):
    """Recurrent layers over [time, features] or tokens, then fully connected layers."""

    family: Literal["rnn"]
    cell: Literal["rnn", "lstm", "gru"] = "lstm"
    hidden: Width
    """Width of each recurrent layer (of each direction)."""
    layers: Annotated[int, Field(ge=1, le=MOST_LAYERS - 2)] = 1
    """Recurrent layers, one upon the other."""
    bidirectional: bool = False
    nonlinearity: Literal["tanh", "relu"] = "tanh"
    """Of the plain `rnn` cell; the gates of the others are fixed."""
    dropout: Share = 0.0
    """Dropout between the recurrent layers and before the head."""
    readout: Literal["last", "mean", "each"] = "last"
    """What the head sees: the last state (bidirectional: the last of the forward beside the first of the backward
    direction), the mean over time, or each time step by itself."""
    embedding: Embedding | None = None
    """For tokens, which need it."""
    head: Annotated[Several[Width], Field(max_length=MOST_LAYERS - 3)] = ()
    """Widths of fully connected layers between the readout and the output."""
    activation: Activation = "relu"
    """Activation of the head."""
    init: Init = "auto"
    """Init of input weights and head. Recurrent weights are PyTorch's own."""


Network = Annotated[Dnn | Cnn | Rnn, Field(discriminator="family")]


def has_batch_norm(network: Dnn | Cnn | Rnn) -> bool:
    """Whether a layer of the network normalises over the rows of a batch."""
    if isinstance(network, Dnn):
        return network.norm == "batch" and bool(network.hidden)
    return isinstance(network, Cnn) and any((block.norm or network.norm) == "batch" for block in network.blocks)
