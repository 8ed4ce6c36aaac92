"""What `models/shapes.py` says of a network is what torch builds and trains: for any definition, not chosen ones."""

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from hypothesis import assume, given, settings
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
widths = st.lists(width, max_size=4)
share = st.sampled_from((0.0, 0.3))

dnn = st.fixed_dictionaries(
    {"family": st.just("dnn"), "hidden": widths},
    optional={"activation": activation, "residual": st.booleans(), "norm": norm, "dropout": share,
              "bias": st.booleans(), "init": init, "output": ending},
)  # fmt: skip
block = st.fixed_dictionaries(
    {"filters": width},
    optional={"kernel": st.integers(1, 5), "stride": st.integers(1, 3), "dilation": st.integers(1, 3),
              "padding": st.one_of(st.just("same"), st.integers(0, 3)), "pool": st.sampled_from(("none", "max",
              "average")), "pool_size": st.integers(1, 3), "activation": activation, "norm": norm, "dropout": share,
              "residual": st.booleans()},
)  # fmt: skip
cnn = st.fixed_dictionaries(
    {"family": st.just("cnn"), "blocks": st.lists(block, min_size=1, max_size=3)},
    optional={"pooling": st.sampled_from(("flatten", "average", "max")), "hidden": widths, "activation": activation,
              "residual": st.booleans(), "norm": norm, "dropout": share, "bias": st.booleans(), "init": init},
)  # fmt: skip
rnn = st.fixed_dictionaries(
    {"family": st.just("rnn"), "hidden": width},
    optional={"cell": st.sampled_from(("rnn", "lstm", "gru")), "layers": st.integers(1, 3),
              "bidirectional": st.booleans(), "nonlinearity": st.sampled_from(("tanh", "relu")), "dropout": share,
              "readout": st.sampled_from(("last", "mean", "each")), "head": widths, "activation": activation,
              "init": init, "recurrent_init": recurrent_init},
)  # fmt: skip

overrides = {"activation": activation, "norm": norm, "dropout": share, "bias": st.booleans(), "init": init}
dense_layer = st.fixed_dictionaries(
    {"kind": st.just("dense"), "width": width}, optional=overrides | {"residual": st.booleans()}
)
convolution_layer = st.fixed_dictionaries(
    {"kind": st.just("convolution"), "filters": width},
    optional=overrides | {"kernel": st.integers(1, 3), "dilation": st.integers(1, 2), "residual": st.booleans()},
)
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
    outputs, size, each = draw(st.integers(1, 5)), st.integers(2, 9), draw(st.booleans())
    kind = draw(st.sampled_from(("image", "signal", "sequence", "tokens", "table")))
    rank = {"image": 3, "signal": 2, "sequence": 2, "tokens": 1, "table": 1}[kind]
    data = DataShape(kind, "regression", 100, tuple(draw(size) for _ in range(rank)), outputs, vocabulary=7)
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
def definitions(draw: st.DrawFn) -> tuple[dict[str, Any], DataShape]:
    if draw(st.integers(0, 2)) == 0:
        return draw(sequentials())
    network = draw(st.one_of(dnn, cnn, rnn))
    outputs = draw(st.integers(1, 5))
    size = st.integers(1, 9)
    if network["family"] == "dnn":
        kind, shape = draw(st.sampled_from([("table", 1), ("image", 3), ("sequence", 2)]))
        return network, DataShape(kind, "regression", 100, tuple(draw(size) for _ in range(shape)), outputs)
    if network["family"] == "cnn":
        if draw(st.booleans()):
            return network, DataShape("signal", "regression", 100, (draw(size), draw(size)), outputs)
        return network, DataShape("image", "regression", 100, (draw(size), draw(size), draw(size)), outputs)
    per_step = network.get("readout") == "each"
    if draw(st.booleans()):
        network = network | {"embedding": {"size": draw(width)}}
        return network, DataShape("tokens", "classification", 100, (draw(size),), outputs, vocabulary=7,
                                  per_step=per_step)  # fmt: skip
    return network, DataShape("sequence", "regression", 100, (draw(size), draw(size)), outputs, per_step=per_step)


def fitting(network: Any, data: DataShape) -> Architecture:
    """Its layers; what does not fit is left out: test_shapes.py says when."""
    try:
        return trace(network, data)
    except InvalidDefinition:
        assume(False)
        raise


@settings(max_examples=250, deadline=None, derandomize=True)
@given(definitions())
def test_what_fits_is_built_as_traced_and_takes_two_steps(drawn: tuple[dict[str, Any], DataShape]) -> None:
    plain, data = drawn
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
    optimizer = build_optimizer(Training(), network.parameters())
    for _ in range(2):
        outputs = network.train()(x)
        loss = (outputs - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        yield
        optimizer.step()
