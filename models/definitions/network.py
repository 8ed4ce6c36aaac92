"""Which network to train: a union on `family`.

A hidden layer or block computes `dropout(activation(norm(affine(x))))`, and adds x to that when it is residual.
"""

from typing import Annotated, Literal

from pydantic import Field

from models.definitions.base import Several, Strict
from models.definitions.initial import Activation, Init, RecurrentInit
from models.definitions.layers import MOST_LAYERS, ForgetBias, Kernel, Norm, Share, Typed, Width

Ending = Literal["auto", "linear", "sigmoid", "softmax"]


class Embedding(Strict):
    """A learned vector for each token, or for each category of a table's columns that have more than `size`."""

    size: Width
    """Length of the vector."""


class Block(Kernel):
    """One convolution of a cnn, and the pooling after it."""

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
    embedding: Embedding | None = None
    """For tables with columns of many categories; without it each category is a column of its own."""
    hidden: Annotated[Several[Width], Field(max_length=MOST_LAYERS - 1)]
    """Widths of the hidden layers; `[]` is the perceptron."""
    activation: Activation = "relu"
    """Of every hidden layer."""
    residual: bool = False
    """Each hidden layer adds its input to its output; where widths differ the input is projected linearly."""
    norm: Norm = "none"
    """Normalisation between the affine map and the activation."""
    dropout: Share = 0.0
    """Share of a hidden layer's outputs set to zero while training."""
    bias: bool = True
    """Whether the affine maps have one."""
    init: Init = "auto"
    """Of the weights of every layer. `auto`: He for the relu family, LeCun for selu and maxout, Xavier otherwise; LeCun
    for the output."""
    output: Ending = "auto"
    """What the last layer ends in; `auto` is what the loss wants: linear, for the losses take logits."""


class Cnn(Strict):
    """Convolution blocks, then fully connected layers. Takes images [channels, height, width] and signals [channels,
    length]."""

    family: Literal["cnn"]
    blocks: Annotated[Several[Block], Field(min_length=1, max_length=MOST_LAYERS - 2)]
    """Convolutions, input first."""
    pooling: Literal["flatten", "average", "max"] = "flatten"
    """What becomes of the last block's positions: kept side by side, or their average or maximum per channel."""
    hidden: Annotated[Several[Width], Field(max_length=MOST_LAYERS - 3)] = ()
    """Widths of the fully connected layers after the blocks."""
    activation: Activation = "relu"
    """Of blocks and fully connected layers."""
    residual: bool = False
    """Each block adds its input to its output, before pooling; projected by a kernel of 1 where shapes differ."""
    norm: Norm = "none"
    """Normalisation in the blocks."""
    dropout: Share = 0.0
    """Dropout after blocks and fully connected layers."""
    bias: bool = True
    """Whether the affine maps have one."""
    init: Init = "auto"
    """Of the weights of every layer, as for a dnn."""
    output: Ending = "auto"
    """What the last layer ends in; `auto` is what the loss wants: linear, for the losses take logits."""


class Rnn(Strict):
    """Recurrent layers over [time, features] or tokens, then fully connected layers."""

    family: Literal["rnn"]
    cell: Literal["rnn", "lstm", "gru"] = "lstm"
    """`rnn`: plain (Elman 1990); `lstm`: Hochreiter and Schmidhuber 1997, with forget gates; `gru`: Cho et al. 2014."""
    hidden: Width
    """Width of each recurrent layer (of each direction)."""
    layers: Annotated[int, Field(ge=1, le=MOST_LAYERS - 2)] = 1
    """Recurrent layers, one upon the other."""
    bidirectional: bool = False
    """A second direction, from the last time step to the first, beside the first."""
    nonlinearity: Literal["tanh", "relu"] = "tanh"
    """Of the plain `rnn` cell; the gates of the others are fixed."""
    dropout: Share = 0.0
    """Dropout between the recurrent layers and before the head."""
    readout: Literal["last", "mean", "each"] = "last"
    """What the head sees: the last state (bidirectional: the last of the forward beside the first of the backward
    direction), the mean over time, or each time step by itself, with a target and a loss of its own."""
    embedding: Embedding | None = None
    """For tokens, which need it, and for series with columns of many categories."""
    head: Annotated[Several[Width], Field(max_length=MOST_LAYERS - 3)] = ()
    """Widths of fully connected layers between the readout and the output."""
    activation: Activation = "relu"
    """Activation of the head."""
    init: Init = "auto"
    """Of the input weights, gate by gate, and of the head; `auto` is Xavier for the input weights."""
    recurrent_init: RecurrentInit = "default"
    """Of the recurrent weights, gate by gate."""
    forget_bias: ForgetBias | None = None
    """Of an lstm: the sum of both bias vectors of the forget gate. `null`: PyTorch's own."""
    output: Ending = "auto"
    """What the last layer ends in; `auto` is what the loss wants: linear, for the losses take logits."""


class Sequential(Strict):
    """An explicit list of layers, mixing convolution, recurrence and dense layers; the output follows them."""

    family: Literal["sequential"]
    layers: Annotated[Several[Typed], Field(max_length=MOST_LAYERS - 1)]
    """Input first; the output is not listed."""
    output: Ending = "auto"
    """What the last layer ends in; `auto` is what the loss wants: linear, for the losses take logits."""


Network = Annotated[Dnn | Cnn | Rnn | Sequential, Field(discriminator="family")]
