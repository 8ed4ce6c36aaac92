"""How weights begin: by a name, or by an object with parameters, e.g. `{"kind": "normal", "std": 0.8, "bias": -10}`."""

import math
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from models.definitions.base import Strict

Activation = Literal["linear", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "maxout"]
"""`maxout` is the larger of two affine maps of the input (Goodfellow et al. 2013), so it has twice the weights."""

InitName = Literal[
    "auto", "default", "he", "xavier", "lecun", "orthogonal", "zeros", "constant", "normal", "uniform"
]  # fmt: skip
Scale = Annotated[float, Field(gt=0, le=1e6)]
Value = Annotated[float, Field(ge=-1e6, le=1e6)]


class _Initial(Strict):
    bias: Value | None = None
    """Constant of the hidden biases. `null`: 0, but PyTorch's own draws under `default`."""


class AutoInit(_Initial):
    """What fits the activation: He for the relu family, LeCun for selu and maxout, Xavier otherwise."""

    kind: Literal["auto"]


class DefaultInit(_Initial):
    """PyTorch's own: uniform within 1 / sqrt(fan_in)."""

    kind: Literal["default"]


class GainInit(_Initial):
    """`he`: normal with deviation gain / sqrt(fan_in), gain sqrt(2) (He et al. 2015). `lecun`: the same with gain 1.
    `xavier`: normal with deviation gain sqrt(2 / (fan_in + fan_out)) (Glorot and Bengio 2010). `orthogonal`: gain times
    a matrix with orthonormal rows or columns (Saxe et al. 2014)."""

    kind: Literal["he", "xavier", "lecun", "orthogonal"]
    gain: Scale | None = None
    """`null`: sqrt(2) for `he`, 1 for the others."""


class ZerosInit(_Initial):
    """All weights 0: every unit of a layer computes the same, for ever."""

    kind: Literal["zeros"]


class ConstantInit(_Initial):
    """All weights equal."""

    kind: Literal["constant"]
    value: Value = 0.05
    """Of every weight."""


class NormalInit(_Initial):
    """Normal with mean 0."""

    kind: Literal["normal"]
    std: Scale = 0.05
    """Standard deviation."""


class UniformInit(_Initial):
    """Uniform in [-bound, bound]."""

    kind: Literal["uniform"]
    bound: Scale = 0.05
    """Largest size of a weight."""


Initial = AutoInit | DefaultInit | GainInit | ZerosInit | ConstantInit | NormalInit | UniformInit
KINDS: dict[str, type[Initial]] = {
    "auto": AutoInit, "default": DefaultInit, "he": GainInit, "xavier": GainInit, "lecun": GainInit,
    "orthogonal": GainInit, "zeros": ZerosInit, "constant": ConstantInit, "normal": NormalInit, "uniform": UniformInit,
}  # fmt: skip


def _tag(value: Any) -> str | None:
    """An object is tagged by its kind. Tags that are not in the definition begin with ~."""
    if isinstance(value, str):
        return "~name"
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    return "~gain" if kind in ("he", "xavier", "lecun", "orthogonal") else kind


Init = Annotated[
    Annotated[InitName, Tag("~name")]
    | Annotated[AutoInit, Tag("auto")]
    | Annotated[DefaultInit, Tag("default")]
    | Annotated[GainInit, Tag("~gain")]
    | Annotated[ZerosInit, Tag("zeros")]
    | Annotated[ConstantInit, Tag("constant")]
    | Annotated[NormalInit, Tag("normal")]
    | Annotated[UniformInit, Tag("uniform")],
    Discriminator(
        _tag,
        custom_error_type="init_invalid",
        custom_error_message="Input should be a name or an object with one of the kinds " + ", ".join(KINDS),
    ),
]

RecurrentName = Literal["default", "orthogonal", "identity"]


class RecurrentInitial(Strict):
    """`default`: PyTorch's own. `orthogonal`: gain times an orthogonal matrix. `identity`: gain times the identity
    (Le et al. 2015). Gate by gate."""

    kind: RecurrentName
    gain: Scale = 1.0
    """Of `orthogonal` and `identity`."""


def _recurrent_tag(value: Any) -> str:
    return "~name" if isinstance(value, str) else "~object"


RecurrentInit = Annotated[
    Annotated[RecurrentName, Tag("~name")] | Annotated[RecurrentInitial, Tag("~object")], Discriminator(_recurrent_tag)
]

RELU_GAIN = math.sqrt(2)
AUTO: dict[Activation, GainInit] = {
    "linear": GainInit(kind="xavier", gain=1.0),
    "sigmoid": GainInit(kind="xavier", gain=1.0),
    "tanh": GainInit(kind="xavier", gain=5 / 3),
    "leaky_relu": GainInit(kind="he", gain=math.sqrt(2 / (1 + 0.01**2))),
    "selu": GainInit(kind="lecun", gain=1.0),
    "maxout": GainInit(kind="lecun", gain=1.0),
}
"""What `auto` means where it is not He with gain sqrt(2)."""


def resolve(init: InitName | Initial, activation: Activation) -> Initial:
    """An init as an object with every parameter, `auto` by the activation."""
    chosen = KINDS[init].model_validate({"kind": init}) if isinstance(init, str) else init
    if isinstance(chosen, AutoInit):
        fitting = AUTO.get(activation, GainInit(kind="he", gain=RELU_GAIN))
        return fitting.model_copy(update={"bias": chosen.bias})
    if isinstance(chosen, GainInit) and chosen.gain is None:
        return chosen.model_copy(update={"gain": RELU_GAIN if chosen.kind == "he" else 1.0})
    return chosen


def resolve_linear(init: InitName | Initial) -> Initial:
    """The same for a map without activation, such as the output or a projection: `auto` is LeCun with gain 1."""
    return GainInit(kind="lecun", gain=1.0) if is_auto(init) else resolve(init, "linear")


def is_auto(init: InitName | Initial) -> bool:
    return init == "auto" or isinstance(init, AutoInit)


def is_default(init: InitName | Initial) -> bool:
    """Whether PyTorch's own draws stay."""
    return init == "default" or isinstance(init, DefaultInit)


def resolve_recurrent(init: RecurrentName | RecurrentInitial) -> RecurrentInitial:
    return RecurrentInitial(kind=init) if isinstance(init, str) else init
