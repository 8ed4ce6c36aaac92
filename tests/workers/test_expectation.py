"""The expected gain of whole networks is within 15 % of what is measured at their first step."""

import math
from typing import Any

import pytest
import torch

from models.catalogue import DataShape
from models.definitions.job import JobDefinition
from models.expectation import expect
from models.series import LAYER_STATISTICS
from models.shapes import trace
from workers.training.hidden_layers import HiddenLayers
from workers.training.networks import build

TABLE = DataShape("table", "classification", 1000, (256,), 10, tuple("0123456789"))
IMAGE = DataShape("image", "classification", 1000, (16, 12, 12), 10, tuple("0123456789"))
SEEDS = 5

DENSE: dict[str, dict[str, Any]] = {
    f"{activation} {init}": {"activation": activation, "init": init}
    for activation in ("linear", "sigmoid", "tanh", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "maxout")
    for init in ("auto", "default")
} | {
    "xavier": {"activation": "tanh", "init": {"kind": "xavier", "gain": 1.5}},
    "orthogonal": {"activation": "relu", "init": "orthogonal"},
    "uniform": {"activation": "tanh", "init": {"kind": "uniform", "bound": 0.1}},
    "bias": {"activation": "sigmoid", "init": {"kind": "normal", "std": 0.1, "bias": -2}},
    "residual": {"activation": "relu", "residual": True},
    "residual tanh default": {"activation": "tanh", "residual": True, "init": "default"},
    "layer norm": {"activation": "relu", "norm": "layer"},
    "batch norm": {"activation": "tanh", "norm": "batch", "init": "default"},
    "dropout": {"activation": "relu", "dropout": 0.5},
}
BLOCKS: dict[str, dict[str, Any]] = {
    "cnn": {"blocks": [{"filters": 32}, {"filters": 32}, {"filters": 32}]},
    "cnn, dilated": {"blocks": [{"filters": 32, "dilation": 2}, {"filters": 32}]},
    "cnn, residual": {"blocks": [{"filters": 32}, {"filters": 32}, {"filters": 32}], "residual": True},
}


@pytest.mark.parametrize("name", DENSE)
def test_dense_layers(name: str) -> None:
    compare({"family": "dnn", "hidden": [256] * 5, **DENSE[name]}, TABLE)


@pytest.mark.parametrize("name", BLOCKS)
def test_convolutions(name: str) -> None:
    compare({"family": "cnn", **BLOCKS[name]}, IMAGE)


def compare(network: dict[str, Any], data: DataShape) -> None:
    definition = JobDefinition.model_validate({"network": network, "data": {"dataset": "iris"}})
    architecture = trace(definition.network, data)
    expected = expect(architecture).gains
    assert list(expected) == [layer.index for layer in architecture.hidden]
    logs = torch.stack([measured(definition, data, seed).log() for seed in range(SEEDS)]).mean(0)
    for gain, log in zip(expected.values(), logs.tolist(), strict=True):
        assert gain == pytest.approx(math.exp(log), rel=0.15)


def measured(definition: JobDefinition, data: DataShape, seed: int) -> torch.Tensor:
    torch.manual_seed(seed)
    network = build(definition.network, data)
    hidden = HiddenLayers(network, trace(definition.network, data))
    x, y = torch.randn(256, *data.input_shape), torch.randint(0, 10, (256,))
    with hidden.watching():
        torch.nn.functional.cross_entropy(network(x), y).backward()
    return hidden.take()[LAYER_STATISTICS.index("gain")]
