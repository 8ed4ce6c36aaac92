"""The statistics of hidden layers equal those of a network written by hand, in double."""

import itertools
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn
from torch.nn.functional import conv2d, linear, max_pool2d

from models.catalogue import DataShape
from models.definitions.network import Network
from models.series import LAYER_STATISTICS
from models.shapes import trace
from workers.training.hidden_layers import HiddenLayers
from workers.training.networks import build

NETWORK: TypeAdapter[Any] = TypeAdapter(Network)
TABLE = DataShape("table", "classification", 100, (5,), 3, ("a", "b", "c"))
IMAGE = DataShape("image", "classification", 100, (2, 8, 8), 3, ("a", "b", "c"))
DEAD, SATURATION = map(LAYER_STATISTICS.index, ("dead", "saturation"))
TANH = {"kind": "dense", "width": 6, "activation": "tanh"}


def rms(values: torch.Tensor) -> float:
    return values.square().mean().sqrt().item()


def a_network(plain: dict[str, Any], data: DataShape) -> tuple[Any, HiddenLayers]:
    """In double, and what watches it."""
    definition = NETWORK.validate_python(plain)
    torch.manual_seed(0)
    network = build(definition, data).double()
    return network, HiddenLayers(network, trace(definition, data))


Seen = dict[str, Any]
"""What a layer is measured by: z, a and y of its own forward pass; and the activations `within` a block."""


def dense(layer: Any, x: torch.Tensor, residual: bool) -> Seen:
    z = linear(x, layer.linear.weight, layer.linear.bias)
    a = z.tanh()
    if not residual:
        return {"z": z, "a": a, "y": a, "measured": z}
    y = a + (x @ layer.projection.weight.T if layer.projection else x)
    return {"z": z, "a": a, "y": y, "measured": y}


def convolution(layer: Any, x: torch.Tensor, residual: bool) -> Seen:
    z = conv2d(x, layer.convolution.weight, layer.convolution.bias, padding=1)
    a = z.tanh()
    return {"z": z, "a": a, "y": max_pool2d(a, 2), "measured": z}


def block(layer: Any, x: torch.Tensor, residual: bool) -> Seen:
    """A residual block counts as one layer, which is measured by what it gives."""
    first = dense(layer.body.dense_0, x, False)["y"]
    second = dense(layer.body.dense_1, first, False)["y"]
    y = x + second
    return {"z": y, "a": y, "y": y, "measured": y, "within": [first, second]}


BY_HAND: dict[str, tuple[dict[str, Any], DataShape, dict[str, Any]]] = {
    "dnn": ({"family": "dnn", "hidden": [7, 6, 4]}, TABLE, dict.fromkeys(("hidden_0", "hidden_1", "hidden_2"), dense)),
    "residual dnn": (
        {"family": "dnn", "hidden": [7, 7, 4], "residual": True},
        TABLE,
        dict.fromkeys(("hidden_0", "hidden_1", "hidden_2"), dense),
    ),
    "cnn with pooling": (
        {"family": "cnn", "blocks": [{"filters": 4, "pool": "max"}, {"filters": 3, "pool": "max"}], "hidden": [6]},
        IMAGE,
        {"block_0": convolution, "block_1": convolution, "hidden_0": dense},
    ),
    "sequential with a residual block": (
        {
            "family": "sequential",
            "layers": [
                TANH,
                {"kind": "residual", "layers": [TANH, TANH]},
                TANH,
            ],
        },
        TABLE,
        {"dense_0": dense, "residual_1": block, "dense_2": dense},
    ),
}
"""A definition, its data, and how each of its hidden layers is computed by hand."""


@pytest.mark.parametrize("name", BY_HAND)
def test_they_equal_those_of_a_forward_pass_by_hand(name: str) -> None:
    plain, data, forwards = BY_HAND[name]
    activation = {} if plain["family"] == "sequential" else {"activation": "tanh"}
    network, hidden = a_network(plain | activation, data)
    x, y = torch.randn((20, *data.input_shape), dtype=torch.float64), torch.randint(0, 3, (20,))
    with hidden.watching():
        nn.functional.cross_entropy(network(x), y).backward()

    seen = []
    for layer, forward in forwards.items():
        x = x.flatten(1) if forward is dense else x
        seen.append(forward(getattr(network, layer), x, plain.get("residual", False)))
        x = seen[-1]["y"]
        seen[-1]["measured"].retain_grad()
    logits = linear(x, network.output.linear.weight, network.output.linear.bias)
    logits.retain_grad()
    nn.functional.cross_entropy(logits, y).backward()
    gradients = [*(layer["measured"].grad for layer in seen), logits.grad]
    norms = [gradient.norm().item() for gradient in gradients if gradient is not None]
    expected = torch.tensor(
        [
            [rms(gradient) for gradient in gradients[:-1] if gradient is not None],
            [rms(layer["z"]) for layer in seen],
            [rms(layer["a"]) for layer in seen],
            [before / after for before, after in itertools.pairwise(norms)],
            [0.5] * len(seen),
            [min((1 - tanh.square()).mean().item() for tanh in layer.get("within", [layer["a"]])) for layer in seen],
        ],
        dtype=torch.float64,
    )
    assert len(hidden) == len(seen)
    dead = torch.full((len(seen),), 0.5, dtype=torch.float64)
    torch.testing.assert_close(hidden.take(dead), expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", BY_HAND)
def test_watching_changes_no_bit_of_three_steps(name: str) -> None:
    plain, data, _ = BY_HAND[name]
    more = {} if plain["family"] == "sequential" else {"norm": "batch", "dropout": 0.3}
    weights = []
    for watched in (False, True):
        definition = NETWORK.validate_python(plain | more)
        torch.manual_seed(0)
        network = build(definition, data)
        hidden = HiddenLayers(network, trace(definition, data))
        optimizer = torch.optim.Adam(network.parameters(), 0.01)
        x, y = torch.randn((20, *data.input_shape)), torch.randint(0, 3, (20,))
        for _ in range(3):
            with hidden.watching() if watched else nullcontext():
                optimizer.zero_grad()
                nn.functional.cross_entropy(network(x), y).backward()
            assert not watched or hidden.take()[:DEAD].isfinite().all()
            optimizer.step()
        weights.append(network.state_dict())
    assert all(torch.equal(weights[0][tensor], weights[1][tensor]) for tensor in weights[0])


SIGMOIDS = {"family": "dnn", "hidden": [7, 4], "activation": "sigmoid"}


def test_the_saturation_of_a_sigmoid_is_the_mean_of_its_slope_over_a_quarter() -> None:
    network, hidden = a_network(SIGMOIDS, TABLE)
    x = 5 * torch.randn((20, 5), dtype=torch.float64)
    with hidden.watching():
        network(x).sum().backward()
    z = linear(x, network.hidden_0.linear.weight, network.hidden_0.linear.bias)
    after = linear(z.sigmoid(), network.hidden_1.linear.weight, network.hidden_1.linear.bias)
    expected = torch.stack([(4 * z.sigmoid() * (1 - z.sigmoid())).mean() for z in (z, after)])
    torch.testing.assert_close(hidden.take()[SATURATION], expected.detach(), rtol=1e-9, atol=0)
    assert 0 < expected[0] < 0.6


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "gelu", "maxout", "linear"])
def test_what_has_no_two_flat_ends_has_no_saturation(activation: str) -> None:
    network, hidden = a_network({"family": "dnn", "hidden": [7], "activation": activation}, TABLE)
    with hidden.watching():
        network(torch.randn((20, 5), dtype=torch.float64)).sum().backward()
    measured = hidden.take()
    assert measured[SATURATION].isnan().all()
    assert measured[DEAD].isnan().all()
