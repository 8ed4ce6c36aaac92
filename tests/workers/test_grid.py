"""What `models/shapes.py` says of a network is what torch builds and trains: for any definition, not chosen ones."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from torch import Tensor, nn

from models.catalogue import DataShape
from models.definitions.network import Network
from models.definitions.training import Training
from models.errors import InvalidDefinition
from models.shapes import Architecture, trace
from workers.training.networks import build
from workers.training.optimizers import build_optimizer
from workers.training.parameters import FlatParameters

ACTIVATIONS = ("linear", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "maxout")
INITS: tuple[Any, ...] = (
    "auto", "default", "he", "xavier", "lecun", "orthogonal", "zeros", "constant", "normal", "uniform",
    {"kind": "normal", "std": 0.8, "bias": -1}, {"kind": "xavier", "gain": 1.667}, {"kind": "auto", "bias": 0.1},
    {"kind": "uniform", "bound": 0.1}, {"kind": "constant", "value": 0.5}, {"kind": "default", "bias": 0.5},
)  # fmt: skip
RECURRENT_INITS: tuple[Any, ...] = ("default", "orthogonal", "identity", {"kind": "orthogonal", "gain": 2.0})
NETWORK: TypeAdapter[Any] = TypeAdapter(Network)
ROWS = 4

activation = st.sampled_from(ACTIVATIONS)
norm = st.sampled_from(("none", "batch", "layer"))
init = st.sampled_from(INITS)
recurrent_init = st.sampled_from(RECURRENT_INITS)
ending = st.sampled_from(("auto", "linear", "sigmoid", "softmax"))
width = st.integers(1, 9)
outputs = st.integers(1, 5)
widths = st.lists(width, max_size=3)
share = st.sampled_from((0.0, 0.3))


def sometimes(choice: Any) -> Any:
    """Or null: what the network says."""
    return st.one_of(st.none(), choice)


kernel = {"kernel": st.integers(1, 4), "stride": st.integers(1, 3), "dilation": st.integers(1, 2),
          "padding": st.one_of(st.just("same"), st.integers(0, 3)), "pool": st.sampled_from(("none", "max", "average")),
          "pool_size": st.integers(1, 3)}  # fmt: skip
shared = {"activation": activation, "norm": norm, "dropout": share, "residual": st.booleans()}
block = st.fixed_dictionaries(
    {"filters": width, **kernel}, optional={name: sometimes(choice) for name, choice in shared.items()}
)
overrides = shared | {"bias": st.booleans(), "init": init}
dnn = st.fixed_dictionaries({"family": st.just("dnn"), "hidden": widths, "output": ending, **overrides})
cnn = st.fixed_dictionaries(
    {"family": st.just("cnn"), "blocks": st.lists(block, min_size=1, max_size=2), "hidden": widths,
     "pooling": st.sampled_from(("flatten", "average", "max")), **overrides}
)  # fmt: skip
rnn = st.fixed_dictionaries(
    {"family": st.just("rnn"), "hidden": width, "cell": st.sampled_from(("rnn", "lstm", "gru")),
     "layers": st.integers(1, 2), "bidirectional": st.booleans(), "nonlinearity": st.sampled_from(("tanh", "relu")),
     "dropout": share, "readout": st.sampled_from(("last", "mean", "each")), "head": widths, "activation": activation,
     "init": init, "recurrent_init": recurrent_init}
)  # fmt: skip

dense_layer = st.fixed_dictionaries({"kind": st.just("dense"), "width": width, **overrides})
convolution_layer = st.fixed_dictionaries(
    {"kind": st.just("convolution"), "filters": width, "kernel": st.integers(1, 3), "dilation": st.integers(1, 2),
     **overrides}
)  # fmt: skip
recurrent_layer = st.fixed_dictionaries(
    {"kind": st.just("recurrent"), "hidden": width, "cell": st.sampled_from(("rnn", "lstm", "gru"))},
    optional={"bidirectional": st.booleans(), "init": init, "recurrent_init": recurrent_init, "dropout": share},
)


def some(layer: Any) -> Any:
    """Up to two such layers, or a residual block of them."""
    plain = st.lists(layer, min_size=1, max_size=2)
    block = plain.map(lambda layers: [{"kind": "residual", "layers": layers}])
    return st.one_of(st.just([]), plain, block)


@st.composite
def sequentials(draw: st.DrawFn) -> tuple[dict[str, Any], DataShape]:
    """Convolution over a grid, then recurrence over its frames, then dense layers; each part may be left out."""
    size, each = st.integers(2, 9), draw(st.booleans())
    kind = draw(st.sampled_from(("image", "signal", "sequence", "tokens", "table")))
    rank = {"image": 3, "signal": 2, "sequence": 2, "tokens": 1, "table": 1}[kind]
    data = DataShape(kind, "regression", 100, tuple(draw(size) for _ in range(rank)), draw(outputs), vocabulary=7)
    layers: list[Any] = []
    form = {"image": "grid", "signal": "grid"}.get(kind, "sequence" if kind in ("sequence", "tokens") else "vector")
    if kind == "tokens":
        layers += [{"kind": "embedding", "size": draw(width)}]
    if form == "grid":
        layers += draw(some(convolution_layer))
        form = draw(st.sampled_from(("sequence", "vector")))
        pooling = {"kind": "pooling", "mode": draw(st.sampled_from(("flatten", "average", "max")))}
        layers += [{"kind": "frames"}] if form == "sequence" else [pooling]
    if form == "sequence":
        layers += draw(some(recurrent_layer)) + draw(some(dense_layer))
        if each:
            data = replace(data, per_step=True)
        else:
            layers += [{"kind": "readout", "mode": draw(st.sampled_from(("last", "mean")))}]
    layers += draw(some(dense_layer))
    return {"family": "sequential", "layers": layers, "output": draw(ending)}, data


@st.composite
def with_categories(draw: st.DrawFn, data: DataShape) -> tuple[dict[str, Any], DataShape]:
    """A column of as many categories as a vector is long, one of more, and a number between them, before all others."""
    size = draw(st.integers(1, 4))
    more = size + draw(st.integers(1, 3))
    shape = (*data.input_shape[:-1], data.input_shape[-1] + size + 1 + more)
    columns = ((0, size), (size + 1, more))
    return {"embedding": {"size": size}}, replace(data, input_shape=shape, categories=columns)


@st.composite
def dnns(draw: st.DrawFn) -> tuple[dict[str, Any], DataShape]:
    kind, rank = draw(st.sampled_from([("table", 1), ("image", 3), ("signal", 2), ("sequence", 2)]))
    data = DataShape(kind, "regression", 100, tuple(draw(width) for _ in range(rank)), draw(outputs))
    embedding: dict[str, Any] = {}
    if kind in ("table", "sequence") and draw(st.booleans()):
        embedding, data = draw(with_categories(data))
    return draw(dnn) | embedding, data


@st.composite
def cnns(draw: st.DrawFn) -> tuple[dict[str, Any], DataShape]:
    kind, rank = draw(st.sampled_from([("image", 2), ("signal", 1)]))
    shape = (draw(st.integers(1, 4)), *(draw(st.integers(5, 11)) for _ in range(rank)))
    return draw(cnn), DataShape(kind, "regression", 100, shape, draw(outputs))


@st.composite
def rnns(draw: st.DrawFn) -> tuple[dict[str, Any], DataShape]:
    network = draw(rnn)
    each = network["readout"] == "each"
    if draw(st.booleans()):
        data = DataShape("tokens", "classification", 100, (draw(width),), draw(outputs), vocabulary=7, per_step=each)
        return network | {"embedding": {"size": draw(width)}}, data
    data = DataShape("sequence", "regression", 100, (draw(width), draw(width)), draw(outputs), per_step=each)
    embedding, data = draw(st.one_of(st.just(({}, data)), with_categories(data)))
    return network | embedding, data


FAMILIES: dict[str, Any] = {"dnn": dnns(), "cnn": cnns(), "rnn": rnns(), "sequential": sequentials()}


def fitting(network: Any, data: DataShape) -> Architecture:
    """Its layers; what does not fit is left out: test_shapes.py says when."""
    try:
        return trace(network, data)
    except InvalidDefinition:
        assume(False)
        raise


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.filter_too_much])
@given(drawn=st.data())
def test_what_fits_is_built_as_traced_and_takes_two_steps(family: str, drawn: st.DataObject) -> None:
    plain, data = drawn.draw(FAMILIES[family])
    network = NETWORK.validate_python(plain)
    architecture = fitting(network, data)
    torch.manual_seed(0)
    built = build(network, data)
    named = [(name, tuple(parameter.shape)) for name, parameter in built.named_parameters()]
    assert [(tensor.name, tensor.shape) for tensor in architecture.tensors] == named
    assert architecture.parameters == sum(parameter.numel() for parameter in built.parameters())
    seen = shapes_of_outputs(built)
    for _ in two_steps(built, data):
        assert all(parameter.grad is not None for parameter in built.parameters()), "out of reach of the loss"
    for before, layer in zip((None, *architecture.layers), architecture.layers, strict=False):
        assert seen[layer.name] == (ROWS, *layer.output_shape)
        assert layer.input_shape == (data.input_shape if before is None else before.output_shape)
    assert all(parameter.isfinite().all() for parameter in built.parameters())


def shapes_of_outputs(network: nn.Module) -> dict[str, tuple[int, ...]]:
    """Of each layer, as the network is used."""
    seen: dict[str, tuple[int, ...]] = {}

    def see(name: str, module: nn.Module, inputs: Any, output: Tensor) -> None:
        seen[name] = tuple(output.shape)

    for name, module in network.named_children():
        module.register_forward_hook(partial(see, name))
    return seen


def two_steps(network: nn.Module, data: DataShape) -> Any:
    """Yields between backward and step."""
    shape = (ROWS, *data.input_shape)
    x = torch.randint(data.vocabulary, shape) if data.kind == "tokens" else torch.randn(shape)
    parameters = FlatParameters(network)
    optimizer = build_optimizer(Training(), parameters)
    for _ in range(2):
        outputs = network.train()(x)
        loss = (outputs - 1).square().mean()
        parameters.zero_gradients()
        loss.backward()
        yield
        optimizer.step()
