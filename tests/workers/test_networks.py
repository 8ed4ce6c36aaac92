"""Networks compute what their definition says, and start from weights of the size it says."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from models.catalogue import DataShape
from models.definitions.network import Network
from workers.training.networks import build

NETWORK: TypeAdapter[Any] = TypeAdapter(Network)
TABLE = DataShape("table", "classification", 100, (256,), 3)
IMAGE = DataShape("image", "classification", 100, (2, 8, 8), 3)
SEQUENCE = DataShape("sequence", "regression", 100, (5, 3), 1)


def a_network(plain: dict[str, Any], data: DataShape, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return build(NETWORK.validate_python(plain), data)


def test_a_vector_takes_the_place_of_the_features_of_a_column_with_many_categories() -> None:
    data = DataShape("sequence", "regression", 100, (5, 12), 1, categories=((1, 5), (7, 3), (10, 2)))
    network = a_network({"family": "rnn", "hidden": 4, "embedding": {"size": 2}}, data)
    x = torch.randn(6, 5, 12)
    first, second = (column.weight.detach() for column in network.embedding.columns)
    wanted = torch.empty(6, 5, 8)
    for row in range(6):
        for step in range(5):
            here = x[row, step]
            parts = [here[:1], first @ here[1:6], here[6:7], second @ here[7:10], here[10:]]
            wanted[row, step] = torch.cat(parts)
    torch.testing.assert_close(network.embedding(x), wanted)
    assert network(x).shape == (6, 1)


def test_vectors_of_categories_begin_with_the_spread_of_what_comes_in() -> None:
    data = DataShape("table", "regression", 100, (401,), 1, categories=((1, 400),))
    network = a_network({"family": "dnn", "hidden": [4], "embedding": {"size": 50}}, data)
    (column,) = network.embedding.columns
    assert float(column.weight.detach().std()) == pytest.approx(1 / 20, rel=0.03)


GAINS = {
    "relu": math.sqrt(2), "gelu": math.sqrt(2), "elu": math.sqrt(2), "tanh": 5 / 3, "sigmoid": 1.0, "linear": 1.0,
    "selu": 1.0,
}  # fmt: skip


@pytest.mark.parametrize("activation", GAINS)
def test_auto_draws_weights_of_the_size_that_fits_the_activation(activation: str) -> None:
    network = a_network({"family": "dnn", "hidden": [256, 256], "activation": activation}, TABLE)
    # Squares, so fan_in = fan_out: 1/sqrt(fan_in) for all kinds. 65 536 draws: the deviation is known to 0.3 %.
    for layer in (network.hidden_0, network.hidden_1):
        assert float(layer.linear.weight.detach().std()) == pytest.approx(GAINS[activation] / 16, rel=0.015)
        assert float(layer.linear.bias.detach().abs().max()) == 0
    assert float(network.output.linear.weight.detach().std()) == pytest.approx(1 / 16, rel=0.1)


def test_auto_scales_residual_branches_by_their_number() -> None:
    network = a_network({"family": "dnn", "hidden": [256] * 4, "residual": True}, TABLE)
    assert float(network.hidden_2.linear.weight.detach().std()) == pytest.approx(math.sqrt(2) / 16 / 2, rel=0.015)


def test_default_is_what_torch_draws() -> None:
    network = a_network({"family": "dnn", "hidden": [7], "init": "default"}, TABLE)
    torch.manual_seed(0)
    twin = nn.Sequential(nn.Linear(256, 7), nn.ReLU(), nn.Linear(7, 3))
    pairs = zip(network.parameters(), twin.parameters(), strict=True)
    assert all(torch.equal(mine, torchs) for mine, torchs in pairs)


def test_the_seed_decides_the_weights() -> None:
    plain = {"family": "rnn", "hidden": 4, "head": [3]}
    first, again, other = (a_network(plain, SEQUENCE, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_a_residual_layer_adds_its_input() -> None:
    network = a_network({"family": "dnn", "hidden": [256, 9], "residual": True, "activation": "tanh"}, TABLE)
    x = torch.randn(4, 256)
    same, projected = network.hidden_0, network.hidden_1
    torch.testing.assert_close(same(x), x + torch.tanh(x @ same.linear.weight.T))
    torch.testing.assert_close(
        projected(x), x @ projected.projection.weight.T + torch.tanh(x @ projected.linear.weight.T)
    )


def test_a_residual_block_adds_its_input_before_pooling() -> None:
    plain = {"family": "cnn", "blocks": [{"filters": 4, "stride": 2, "pool": "max"}], "residual": True}
    block = a_network(plain, IMAGE).block_0
    x = torch.randn(4, 2, 8, 8)
    # kernel 3, stride 2 and 8 positions: one zero is missing, at the end.
    padded = nn.functional.pad(x, (0, 1, 0, 1))
    y = torch.relu(nn.functional.conv2d(padded, block.convolution.weight, stride=2))
    y = y + nn.functional.conv2d(x, block.projection.weight, stride=2)
    torch.testing.assert_close(block(x), nn.functional.max_pool2d(y, 2))


def test_a_wide_same_kernel_sees_the_middle() -> None:
    block = a_network({"family": "cnn", "blocks": [{"filters": 1, "kernel": 5, "activation": "linear"}]}, IMAGE).block_0
    x = torch.randn(1, 2, 8, 8)
    expected = (x[0, :, 1:6, 2:7] * block.convolution.weight[0]).sum()
    torch.testing.assert_close(block(x)[0, 0, 3, 4], expected)


def by_hand(cell: nn.RNN, x: torch.Tensor, suffix: str = "") -> list[torch.Tensor]:
    """A tanh recurrence, step by step."""
    weights = dict(cell.named_parameters())
    inputs, states = weights[f"weight_ih_l0{suffix}"], weights[f"weight_hh_l0{suffix}"]
    bias = weights[f"bias_ih_l0{suffix}"] + weights[f"bias_hh_l0{suffix}"]
    h, all_states = torch.zeros(len(x), len(states)), []
    for t in range(x.shape[1]):
        h = torch.tanh(x[:, t] @ inputs.T + h @ states.T + bias)
        all_states.append(h)
    return all_states


@pytest.mark.parametrize("readout", ["last", "mean", "each"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_what_the_head_of_a_recurrent_network_sees(readout: str, bidirectional: bool) -> None:
    plain = {"family": "rnn", "cell": "rnn", "hidden": 4, "readout": readout, "bidirectional": bidirectional}
    network = a_network(plain, replace(SEQUENCE, per_step=readout == "each"))
    x = torch.randn(2, 5, 3)
    cell = network.recurrent_0.cell
    states = [by_hand(cell, x)]
    if bidirectional:
        states.append(list(reversed(by_hand(cell, x.flip(1), "_reverse"))))
    # The backward direction has seen all of the sequence at its first step.
    last = torch.cat([states[0][-1], *(direction[0] for direction in states[1:])], dim=1)
    each = torch.cat([torch.stack(direction, dim=1) for direction in states], dim=2)
    seen = {"last": last, "mean": each.mean(1), "each": each}[readout]
    expected = seen @ network.output.linear.weight.T + network.output.linear.bias
    torch.testing.assert_close(network(x), expected)


def test_dropout_rests_while_evaluating() -> None:
    network = a_network({"family": "dnn", "hidden": [64], "dropout": 0.5}, TABLE)
    x = torch.randn(4, 256)
    assert not torch.equal(network.train()(x), network(x))
    assert torch.equal(network.eval()(x), network(x))


def standardised(z: torch.Tensor, dimensions: tuple[int, ...]) -> torch.Tensor:
    variance, mean = torch.var_mean(z, dimensions, correction=0, keepdim=True)
    return (z - mean) / (variance + 1e-5).sqrt()


@pytest.mark.parametrize(("norm", "dimensions"), [("batch", (0, 1)), ("layer", (2,))])
def test_a_norm_over_a_sequence_is_over_rows_and_time_or_over_features(norm: str, dimensions: tuple[int, ...]) -> None:
    dense = {"kind": "dense", "width": 4, "norm": norm, "activation": "tanh"}
    layer = a_network({"family": "sequential", "layers": [dense, {"kind": "readout"}]}, SEQUENCE).dense_0
    x = torch.randn(6, 5, 3)
    torch.testing.assert_close(layer(x), standardised(x @ layer.linear.weight.T, dimensions).tanh())


@pytest.mark.parametrize(("norm", "dimensions"), [("batch", (0, 2, 3)), ("layer", (1, 2, 3))])
def test_a_norm_of_a_block_is_over_rows_or_over_channels_and_always_over_positions(
    norm: str, dimensions: tuple[int, ...]
) -> None:
    plain = {"family": "cnn", "blocks": [{"filters": 4}], "norm": norm, "activation": "tanh"}
    block = a_network(plain, IMAGE).block_0
    x = torch.randn(6, 2, 8, 8)
    z = nn.functional.conv2d(x, block.convolution.weight, padding=1)
    torch.testing.assert_close(block(x), standardised(z, dimensions).tanh())
