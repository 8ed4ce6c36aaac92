"""Estimates say in milliseconds and plain words what a job would be."""

import json
from typing import Any

import pytest

from models.capacity import Capacity
from models.errors import InvalidDefinition
from models.estimate import estimate, read_sketch
from models.json_body import parse

ROOMY = Capacity(24 * 2**30)
IMAGE = {"input_shape": [1, 1000, 1000], "classes": 4}


def estimated(network: dict[str, Any], data: dict[str, Any] | None = None, **training: Any) -> dict[str, Any]:
    definition = {"network": network, "data": data or {"dataset": "digits"}, "training": training}
    return estimate(*read_sketch(parse(json.dumps(definition).encode())), ROOMY)


def codes(answer: dict[str, Any]) -> list[str]:
    return [warning["code"] for warning in answer["warnings"]]


def test_cost_is_counted_by_hand() -> None:
    answer = estimated({"family": "dnn", "hidden": [32]}, batch_size=10)
    hidden, output = answer["layers"]
    assert (hidden["parameters"], output["parameters"]) == (64 * 32 + 32, 32 * 10 + 10)
    assert (hidden["flops"], output["flops"]) == (2 * 64 * 32, 2 * 32 * 10)
    # Of a batch of 10: pre-activation and activation of 32 units, and 10 logits.
    assert (hidden["activation_bytes"], output["activation_bytes"]) == (4 * 10 * 64, 4 * 10 * 10)
    weights = 4 * (2080 + 330)
    total = answer["total"]
    assert total["parameters"] == 2410
    assert (total["parameter_bytes"], total["gradient_bytes"], total["optimizer_bytes"]) == (
        weights,
        weights,
        2 * weights,
    )
    assert answer["warnings"] == []


def test_sigmoid_layers_are_warned_of_in_plain_words() -> None:
    answer = estimated({"family": "dnn", "hidden": [64] * 18, "activation": "sigmoid", "init": "default"})
    (warning,) = answer["warnings"]
    assert warning["code"] == "vanishing_depth"
    assert "18 sigmoid layers with default init pass on" in warning["detail"]
    assert 3.4 < answer["depth_budget"] < 3.7


def test_he_keeps_the_gradient_and_large_weights_explode_it() -> None:
    relu = {"family": "dnn", "hidden": [64] * 20}
    assert estimated(relu | {"init": "he"})["depth_budget"] is None
    assert codes(estimated(relu | {"init": {"kind": "normal", "std": 1.0}})) == ["exploding_depth"]


def test_a_million_pixels() -> None:
    dense = estimated({"family": "dnn", "hidden": [1_000_000]}, IMAGE)
    assert dense["total"]["parameters"] > 10**12
    assert codes(dense) == ["too_large"]
    blocks = [{"filters": 100, "kernel": 100, "stride": 10}]
    small = estimated({"family": "cnn", "blocks": blocks, "pooling": "average"}, IMAGE)
    assert 10**6 <= small["total"]["parameters"] < 1.01 * 10**6


@pytest.mark.parametrize(
    ("ends", "data", "warned"),
    [("softmax", "iris", True), ("sigmoid", "diabetes", True), ("linear", "iris", False), ("auto", "diabetes", False)],
)
def test_a_wrong_output_is_warned_of(ends: str, data: str, warned: bool) -> None:
    answer = estimated({"family": "dnn", "hidden": [8], "output": ends}, {"dataset": data})
    assert codes(answer) == (["wrong_output"] if warned else [])


def test_equal_weights_and_a_plain_rnn_are_warned_of() -> None:
    assert codes(estimated({"family": "dnn", "hidden": [8], "init": "zeros"})) == ["constant_init"]
    assert codes(estimated({"family": "rnn", "cell": "rnn", "hidden": 8}, {"dataset": "adding"})) == ["vanishing_time"]


def test_shapes_stand_in_for_data() -> None:
    series = estimated({"family": "rnn", "hidden": 8}, {"input_shape": [20, 3], "outputs": 2})
    assert series["layers"][-1]["output_shape"] == [2]
    signal = estimated({"family": "cnn", "blocks": [{"filters": 4}]}, {"input_shape": [2, 50], "classes": 3})
    assert signal["layers"][0]["output_shape"] == [4, 50]


@pytest.mark.parametrize(
    ("data", "pointer"),
    [({"input_shape": [3]}, "/data"), ({"input_shape": [3], "classes": 2, "outputs": 1}, "/data"),
     ({"input_shape": [0], "classes": 2}, "/data/input_shape/0"), ({"input_shape": [3], "rows": 2}, "/data"),
     ({"dataset": "irsi"}, "/data/dataset")],
)  # fmt: skip
def test_what_is_wrong_has_its_place(data: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidDefinition) as refused:
        estimated({"family": "dnn", "hidden": [8]}, data)
    assert refused.value.problems[0].pointer.startswith(pointer)
