"""The typed layers that every network consists of; `sequential` lists them, the other families are short for them."""

from typing import Annotated, Literal

from pydantic import Field

from models.definitions.base import Several, Strict
from models.definitions.initial import Activation, Init, RecurrentInit

Norm = Literal["none", "batch", "layer"]
Width = Annotated[int, Field(ge=1, le=2**53)]
Share = Annotated[float, Field(ge=0, lt=1)]
ForgetBias = Annotated[float, Field(ge=-100, le=100)]

MOST_LAYERS = 1_000


class Kernel(Strict):
    """What a convolution is, apart from what it shares with the rest of the network."""

    filters: Width
    """Output channels."""
    kernel: Width = 3
    """Extent of the kernel in each spatial dimension."""
    stride: Width = 1
    """Positions from one application of the kernel to the next."""
    padding: Literal["same"] | Annotated[int, Field(ge=0, le=2**20)] = "same"
    """`same`: the output has ceil(n / stride) positions. A number: that many zeros on each side."""
    dilation: Width = 1
    """Distance between the taps of the kernel."""
    pool: Literal["none", "max", "average"] = "none"
    """Whether pooling follows, and which."""
    pool_size: Width = 2
    """Size and stride of the pooling window; positions that do not fill a window are dropped."""


class Dense(Strict):
    """dropout(activation(norm(W x + b))), and x added to it where it is residual. A sequence keeps its time steps, each
    treated alike; the positions of an image or a signal are laid side by side."""

    kind: Literal["dense"]
    width: Width
    """Units."""
    activation: Activation = "relu"
    """Of each unit."""
    norm: Norm = "none"
    """Normalisation between the affine map and the activation."""
    dropout: Share = 0.0
    """Share of the outputs set to zero while training."""
    bias: bool = True
    """Whether the affine map has one."""
    residual: bool = False
    """Whether x is added, projected linearly where widths differ."""
    init: Init = "auto"
    """Of the weights; `auto` goes by the activation."""


class Convolution(Kernel):
    """As `dense`, with a convolution for the affine map and pooling at the end. Takes images and signals."""

    kind: Literal["convolution"]
    activation: Activation = "relu"
    """Of each unit."""
    norm: Norm = "none"
    """Normalisation between the convolution and the activation."""
    dropout: Share = 0.0
    """Share of the outputs set to zero while training."""
    bias: bool = True
    """Whether the convolution has one."""
    residual: bool = False
    """Whether x is added before pooling, projected by a kernel of 1 where shapes differ."""
    init: Init = "auto"
    """Of the weights; `auto` goes by the activation."""


class Recurrent(Strict):
    """One recurrent layer over the time steps of a sequence; it gives its state at each."""

    kind: Literal["recurrent"]
    cell: Literal["rnn", "lstm", "gru"] = "lstm"
    """As for an rnn."""
    hidden: Width
    """Units, of each direction."""
    bidirectional: bool = False
    """A second direction, from the last time step to the first, beside the first."""
    nonlinearity: Literal["tanh", "relu"] = "tanh"
    """Of the plain `rnn` cell; the gates of the others are fixed."""
    dropout: Share = 0.0
    """Of its states, while training."""
    init: Init = "auto"
    """Of the input weights, gate by gate; `auto` is Xavier."""
    recurrent_init: RecurrentInit = "default"
    """Of the recurrent weights, gate by gate."""
    forget_bias: ForgetBias | None = None
    """Of an lstm: the sum of both bias vectors of the forget gate. `null`: PyTorch's own."""


class EmbeddingLayer(Strict):
    """A learned vector for each token: [time] to [time, size]. Of a table with categories, as the first layer: a vector
    in place of each column that has more than `size` categories."""

    kind: Literal["embedding"]
    size: Width
    """Length of the vector."""


class Frames(Strict):
    """An image or a signal as a sequence along its last dimension: [channels, bands, time] to [time, channels x bands].
    So convolution over a spectrogram can go on to recurrence."""

    kind: Literal["frames"]


class Pooling(Strict):
    """What becomes of all positions: laid side by side, or their average or maximum per channel."""

    kind: Literal["pooling"]
    mode: Literal["flatten", "average", "max"] = "flatten"
    """`average` and `max` are per channel."""


class Readout(Strict):
    """What the layers after recurrence see: the last state (bidirectional: the last of the forward beside the first of
    the backward direction), the mean over time, or each time step by itself."""

    kind: Literal["readout"]
    mode: Literal["last", "mean", "each"] = "last"
    """`each` needs data with a target for each time step."""


Inner = Annotated[Dense | Convolution | Recurrent, Field(discriminator="kind")]


class Residual(Strict):
    """x + the layers within, one after the other; x is projected linearly where widths differ."""

    kind: Literal["residual"]
    layers: Annotated[Several[Inner], Field(min_length=1, max_length=100)]
    """The branch, its first layer first."""


class Output(Strict):
    """The linear map to logits, or to the values of a regression. Every network has one, and no definition lists it."""

    kind: Literal["output"] = "output"
    ends: Literal["auto", "linear", "sigmoid", "softmax"] = "auto"
    bias: bool = True
    init: Init = "auto"


Typed = Annotated[
    Dense | Convolution | Recurrent | EmbeddingLayer | Frames | Pooling | Readout | Residual,
    Field(discriminator="kind"),
]
AnyLayer = Dense | Convolution | Recurrent | EmbeddingLayer | Frames | Pooling | Readout | Residual | Output
