"""Shapes and counts worked out by hand, and what does not fit. Any definition: tests/workers/test_grid.py."""

import math
from typing import Any

import pytest
from pydantic import TypeAdapter

from models.catalogue import DataShape
from models.definitions.network import Network
from models.errors import InvalidDefinition
from models.shapes import trace

NETWORK: TypeAdapter[Any] = TypeAdapter(Network)


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
