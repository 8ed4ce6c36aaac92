"""Every init is torch's own, and stays so over 20 steps of training."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.catalogue import DataShape
from models.definitions.job import JobDefinition
from workers.training.networks import build

TABLE = DataShape("table", "classification", 100, (12,), 3, ("a", "b", "c"))
INITS: dict[str, tuple[Any, Callable[[Tensor], Any]]] = {
    "he": ("he", lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu")),
    "xavier": ({"kind": "xavier", "gain": 1.667}, lambda w: nn.init.xavier_normal_(w, 1.667)),
    "lecun": ("lecun", lambda w: nn.init.kaiming_normal_(w, nonlinearity="linear")),
    "orthogonal": ({"kind": "orthogonal", "gain": 2.0}, lambda w: nn.init.orthogonal_(w, 2.0)),
    "zeros": ("zeros", nn.init.zeros_),
    "constant": ({"kind": "constant", "value": 0.3}, lambda w: nn.init.constant_(w, 0.3)),
    "normal": ({"kind": "normal", "std": 0.8}, lambda w: nn.init.normal_(w, 0.0, 0.8)),
    "uniform": ({"kind": "uniform", "bound": 0.2}, lambda w: nn.init.uniform_(w, -0.2, 0.2)),
    "default": ("default", lambda w: w),
}
AUTO: dict[str, Callable[[Tensor], Any]] = {
    "relu": lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu"),
    "leaky_relu": lambda w: nn.init.kaiming_normal_(w, a=0.01, nonlinearity="leaky_relu"),
    "tanh": lambda w: nn.init.xavier_normal_(w, nn.init.calculate_gain("tanh")),
    "sigmoid": nn.init.xavier_normal_,
    "linear": nn.init.xavier_normal_,
    "selu": lambda w: nn.init.kaiming_normal_(w, nonlinearity="linear"),
}


def built(**network: Any) -> nn.Module:
    definition = JobDefinition.model_validate(
        {"network": {"family": "dnn", "hidden": [16, 8], **network}, "data": {"dataset": "iris"}}
    )
    torch.manual_seed(3)
    return build(definition.network, TABLE)


@pytest.mark.parametrize("name", INITS)
def test_an_init_is_that_of_torch_after_twenty_steps(name: str) -> None:
    init, draw = INITS[name]
    ours = built(init=init, activation="tanh")
    theirs = plain(nn.Tanh, draw, draw, keep_biases=name == "default")
    compare(ours, theirs)


@pytest.mark.parametrize("activation", AUTO)
def test_auto_is_what_fits_the_activation(activation: str) -> None:
    kinds = {"relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid,
             "linear": nn.Identity, "selu": nn.SELU}  # fmt: skip
    theirs = plain(kinds[activation], AUTO[activation], lambda w: nn.init.kaiming_normal_(w, nonlinearity="linear"))
    compare(built(activation=activation), theirs)


def plain(
    kind: type[nn.Module], hidden: Callable[[Tensor], Any], output: Callable[[Tensor], Any], keep_biases: bool = False
) -> nn.Module:
    """The same network as anybody would write it."""
    torch.manual_seed(3)
    first, second, last = nn.Linear(12, 16), nn.Linear(16, 8), nn.Linear(8, 3)
    with torch.no_grad():
        for layer, draw in ((first, hidden), (second, hidden), (last, output)):
            draw(layer.weight)
            if not keep_biases:
                layer.bias.zero_()
    return nn.Sequential(first, kind(), second, kind(), last)


def compare(ours: nn.Module, theirs: nn.Module) -> None:
    torch.manual_seed(5)
    x, y = torch.randn(40, 12), torch.randint(0, 3, (40,))
    for network in (ours, theirs):
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        for _ in range(20):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x), y).backward()
            optimizer.step()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-6)


def test_a_bias_of_its_own() -> None:
    network = built(init={"kind": "normal", "std": 0.1, "bias": -10.0})
    biases = [parameter for name, parameter in network.named_parameters() if name.endswith("bias")]
    assert [bias[0].item() for bias in biases] == [-10.0, -10.0, 0.0]


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_recurrent_weights_are_orthogonal_gate_by_gate(cell: str) -> None:
    recurrent = {"family": "rnn", "cell": cell, "hidden": 6, "recurrent_init": {"kind": "orthogonal", "gain": 2.0}}
    definition = JobDefinition.model_validate({"network": recurrent, "data": {"dataset": "adding"}})
    shape = DataShape("sequence", "regression", 100, (5, 2), 1)
    weight = dict(build(definition.network, shape).named_parameters())["recurrent_0.cell.weight_hh_l0"]
    for gate in weight.split(6):
        torch.testing.assert_close(gate @ gate.T, 4 * torch.eye(6), rtol=0, atol=1e-5)


def test_a_forget_bias_is_the_sum_of_both_vectors() -> None:
    recurrent = {"family": "rnn", "hidden": 6, "forget_bias": 3.0}
    definition = JobDefinition.model_validate({"network": recurrent, "data": {"dataset": "adding"}})
    named = dict(build(definition.network, DataShape("sequence", "regression", 100, (5, 2), 1)).named_parameters())
    total = named["recurrent_0.cell.bias_ih_l0"] + named["recurrent_0.cell.bias_hh_l0"]
    assert total[6:12].tolist() == [3.0] * 6
    assert not math.isclose(total[0].item(), 3.0)


def test_a_stack_without_activation_is_the_product_of_its_matrices() -> None:
    network = built(activation="linear", hidden=[16] * 8, bias=False)
    product = torch.eye(12)
    for weight in network.parameters():
        product = weight @ product
    x = torch.randn(50, 12)
    torch.testing.assert_close(network(x), x @ product.T, rtol=0, atol=1e-5)
