"""What `models/shapes.py` says of a network is what torch builds: for any definition, not for chosen ones."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from models.catalogue import DataShape
from models.definitions.network import Network
from models.errors import InvalidDefinition
from models.shapes import trace
from workers.training.networks import build

ACTIVATIONS = ("linear", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "maxout")
INITS: tuple[Any, ...] = (
    "auto", "default", "he", "xavier", "lecun", "orthogonal", "zeros", "constant", "normal", "uniform",
    {"kind": "normal", "std": 0.8, "bias": -1}, {"kind": "xavier", "gain": 1.667}, {"kind": "auto", "bias": 0.1},
    {"kind": "uniform", "bound": 0.1}, {"kind": "constant", "value": 2}, {"kind": "default", "bias": 0.5},
)  # fmt: skip
RECURRENT_INITS: tuple[Any, ...] = ("default", "orthogonal", "identity", {"kind": "orthogonal", "gain": 2.0})
NETWORK: TypeAdapter[Any] = TypeAdapter(Network)

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


@settings(max_examples=250, deadline=None)
@given(definitions())
def test_names_shapes_and_counts_are_those_that_torch_builds(drawn: tuple[dict[str, Any], DataShape]) -> None:
    plain, data = drawn
    network = NETWORK.validate_python(plain)
    try:
        architecture = trace(network, data)
    except InvalidDefinition:
        return  # a kernel, a window or a sum that does not fit: MISFITS below says when
    built = build(network, data)
    named = [(name, tuple(parameter.shape)) for name, parameter in built.named_parameters()]
    assert [(tensor.name, tensor.shape) for tensor in architecture.tensors] == named
    assert architecture.parameters == sum(parameter.numel() for parameter in built.parameters())
    _compare_outputs(architecture, built, data)


def _compare_outputs(architecture: Any, built: Any, data: DataShape) -> None:
    seen: dict[str, tuple[int, ...]] = {}
    for name, module in built.named_children():
        module.register_forward_hook(lambda _, __, output, name=name: seen.__setitem__(name, tuple(output.shape[1:])))
    rows = torch.zeros((2, *data.input_shape), dtype=torch.int64 if data.kind == "tokens" else torch.float32)
    with torch.no_grad():
        built.eval()(rows)
    for before, layer in zip((None, *architecture.layers), architecture.layers, strict=False):
        assert seen[layer.name] == layer.output_shape
        assert before is None or layer.input_shape == before.output_shape


def test_the_counts_of_a_network_worked_out_by_hand() -> None:
    plain = {"family": "cnn", "blocks": [{"filters": 4, "kernel": 3, "pool": "max"}], "hidden": [5], "norm": "batch"}
    image = DataShape("image", "classification", 100, (2, 8, 8), 3)
    architecture = trace(NETWORK.validate_python(plain), image)
    block, pooling, hidden, output = architecture.layers
    assert (block.parameters, block.output_shape) == (4 * 2 * 9 + 4 + 2 * 4, (4, 4, 4))
    assert (pooling.parameters, pooling.output_shape) == (0, (64,))
    assert (hidden.parameters, output.parameters) == (64 * 5 + 5, 5 * 3 + 3)


MISFITS: dict[str, tuple[dict[str, Any], tuple[int, ...], str]] = {
    "kernel": ({"kernel": 9}, (1, 8, 8), "/network/blocks/0/kernel"),
    "kernel in one direction": ({"kernel": 3}, (1, 8, 2), "/network/blocks/0/kernel"),
    "dilated kernel": ({"kernel": 3, "dilation": 4}, (1, 8, 8), "/network/blocks/0/kernel"),
    "kernel under padding": ({"kernel": 9, "padding": 4}, (1, 8, 8), "/network/blocks/0/kernel"),
    "pool": ({"kernel": 3, "pool": "max", "pool_size": 9}, (1, 8, 8), "/network/blocks/0/pool_size"),
    "residual": ({"kernel": 3, "padding": 0, "residual": True}, (1, 8, 8), "/network/blocks/0/padding"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_a_misfit_is_refused_at_its_place(name: str) -> None:
    block, shape, pointer = MISFITS[name]
    plain = {"family": "cnn", "blocks": [{"filters": 4} | block]}
    with pytest.raises(InvalidDefinition) as refused:
        trace(NETWORK.validate_python(plain), DataShape("image", "classification", 100, shape, 3))
    assert [problem.pointer for problem in refused.value.problems] == [pointer]


def test_what_is_refused_next_to_what_is_not() -> None:
    for kernel, fits in ((8, True), (9, False)):
        network = NETWORK.validate_python({"family": "cnn", "blocks": [{"filters": 1, "kernel": kernel}]})
        data = DataShape("image", "classification", 100, (1, 8, 8), 2)
        if fits:
            assert trace(network, data).layers[0].output_shape == (1, 8, 8)
        else:
            with pytest.raises(InvalidDefinition):
                trace(network, data)


def test_a_network_is_as_deep_as_allowed_and_no_deeper() -> None:
    data = DataShape("table", "classification", 100, (2,), 2)
    deep = {"family": "dnn", "hidden": [1] * 999}
    assert len(trace(NETWORK.validate_python(deep), data).layers) == 1000
    recurrent = {"family": "rnn", "hidden": 1, "layers": 998, "head": [1]}
    with pytest.raises(InvalidDefinition, match="1000 are allowed"):
        trace(NETWORK.validate_python(recurrent), DataShape("sequence", "regression", 100, (3, 1), 1))


def test_memory_counts_weights_gradients_state_and_activations() -> None:
    data = DataShape("table", "classification", 100, (2,), 2)
    architecture = trace(NETWORK.validate_python({"family": "dnn", "hidden": [3]}), data)
    parameters = 2 * 3 + 3 + 3 * 2 + 2
    kept = 3 + 3 + 2  # before and after the activation, and the output
    assert architecture.memory_bytes("adam", 10) == 4 * (4 * parameters + 2 * 10 * kept)
    assert math.isclose(architecture.memory_bytes("sgd", 10), 4 * (3 * parameters + 2 * 10 * kept))
