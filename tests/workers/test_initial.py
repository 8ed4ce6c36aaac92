"""Each init is torch's: the same weights under the same seed, and still after 20 steps of training."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn
from torch.nn import init

from models.catalogue import DataShape
from models.definitions.network import Network
from workers.training.networks import build

NETWORK: TypeAdapter[Any] = TypeAdapter(Network)
TABLE = DataShape("table", "regression", 100, (6,), 2)
IMAGE = DataShape("image", "regression", 100, (2, 5, 5), 2)
SEQUENCE = DataShape("sequence", "regression", 100, (6, 3), 2)

Draw = Callable[[Tensor], Any]


def he(weight: Tensor) -> None:
    init.kaiming_normal_(weight, nonlinearity="relu")


def lecun(weight: Tensor) -> None:
    init.kaiming_normal_(weight, nonlinearity="linear")


def xavier(gain: float) -> Draw:
    return lambda weight: init.xavier_normal_(weight, gain)


KINDS: dict[str, tuple[Any, Draw]] = {
    "he": ("he", he),
    "xavier": ("xavier", init.xavier_normal_),
    "lecun": ("lecun", lecun),
    "orthogonal": ("orthogonal", init.orthogonal_),
    "zeros": ("zeros", init.zeros_),
    "constant": ("constant", lambda weight: init.constant_(weight, 0.05)),
    "normal": ("normal", lambda weight: init.normal_(weight, std=0.05)),
    "uniform": ("uniform", lambda weight: init.uniform_(weight, -0.05, 0.05)),
    "he of linear gain": ({"kind": "he", "gain": 1.0}, lecun),
    "xavier of gain 5/3": ({"kind": "xavier", "gain": 5 / 3}, xavier(init.calculate_gain("tanh"))),
    "orthogonal of gain 2": ({"kind": "orthogonal", "gain": 2.0}, lambda weight: init.orthogonal_(weight, 2.0)),
    "constant 0.3": ({"kind": "constant", "value": 0.3}, lambda weight: init.constant_(weight, 0.3)),
    "normal 0.8": ({"kind": "normal", "std": 0.8}, lambda weight: init.normal_(weight, std=0.8)),
    "uniform 0.2": ({"kind": "uniform", "bound": 0.2}, lambda weight: init.uniform_(weight, -0.2, 0.2)),
}
"""What a definition says, and torch's function for it."""


class Larger(nn.Module):
    """Maxout of two pieces, the first pieces of all units before the second."""

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (2, -1)).amax(1)


AUTO: dict[str, tuple[Draw, Callable[[], nn.Module]]] = {
    "linear": (xavier(1.0), nn.Identity),
    "sigmoid": (xavier(init.calculate_gain("sigmoid")), nn.Sigmoid),
    "tanh": (xavier(init.calculate_gain("tanh")), nn.Tanh),
    "relu": (he, nn.ReLU),
    "leaky_relu": (lambda weight: init.kaiming_normal_(weight, 0.01, nonlinearity="leaky_relu"), nn.LeakyReLU),
    "elu": (he, nn.ELU),
    "selu": (lecun, nn.SELU),
    "gelu": (he, nn.GELU),
    "silu": (he, nn.SiLU),
    "maxout": (lecun, Larger),
}
"""What `auto` draws for an activation, and torch's module for that."""


def dense(activation: nn.Module, pieces: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(6, 8 * pieces), activation, nn.Linear(8, 5 * pieces), activation, nn.Linear(5, 2)
    )


def convolved(activation: nn.Module, pieces: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 4 * pieces, 3, padding=1), activation, nn.Conv2d(4, 3 * pieces, 3, padding=1), activation,
        nn.Flatten(), nn.Linear(75, 2),
    )  # fmt: skip


FAMILIES: dict[str, tuple[dict[str, Any], DataShape, Callable[..., nn.Sequential]]] = {
    "dnn": ({"family": "dnn", "hidden": [8, 5]}, TABLE, dense),
    "cnn": ({"family": "cnn", "blocks": [{"filters": 4}, {"filters": 3}]}, IMAGE, convolved),
}


def ours(plain: dict[str, Any], data: DataShape) -> nn.Module:
    torch.manual_seed(5)
    return build(NETWORK.validate_python(plain), data)


@torch.no_grad()
def drawn(network: nn.Sequential, draw: Draw, last: Draw, bias: float = 0.0) -> nn.Sequential:
    """The twin's weights anew in the order of its layers, by torch's functions."""
    *hidden, output = [module for module in network if hasattr(module, "weight")]
    for module in hidden:
        draw(module.weight)
        module.bias.fill_(bias)
    last(output.weight)
    output.bias.zero_()
    return network


def assert_alike(mine: nn.Module, twin: nn.Module, data: DataShape) -> None:
    """Before training and after it."""
    assert_same_weights(mine, twin)
    for network in (mine, twin):
        train(network, data)
    assert_same_weights(mine, twin)


def assert_same_weights(mine: nn.Module, twin: nn.Module) -> None:
    for one, other in zip(mine.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


def train(network: nn.Module, data: DataShape) -> None:
    """20 steps of gradient descent, which move every network."""
    generator = torch.Generator().manual_seed(1)
    x, y = (torch.randn((16, *shape), generator=generator) for shape in (data.input_shape, (data.outputs,)))
    optimizer = torch.optim.SGD(network.parameters(), 0.02)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    for _ in range(20):
        optimizer.zero_grad()
        nn.functional.mse_loss(network(x), y).backward()
        optimizer.step()
    assert any(not torch.equal(old, new) for old, new in zip(before, network.parameters(), strict=True))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_an_init_is_torchs(kind: str, family: str) -> None:
    (said, draw), (plain, data, twin_of) = KINDS[kind], FAMILIES[family]
    mine = ours(plain | {"init": said, "activation": "tanh"}, data)
    torch.manual_seed(5)
    assert_alike(mine, drawn(twin_of(nn.Tanh()), draw, draw), data)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("said", ["default", {"kind": "default"}])
def test_the_default_is_torchs_own(said: Any, family: str) -> None:
    plain, data, twin_of = FAMILIES[family]
    mine = ours(plain | {"init": said}, data)
    torch.manual_seed(5)
    assert_alike(mine, twin_of(nn.ReLU()), data)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("activation", AUTO)
def test_auto_is_what_fits_the_activation_and_lecun_for_the_output(activation: str, family: str) -> None:
    (draw, module), (plain, data, twin_of) = AUTO[activation], FAMILIES[family]
    mine = ours(plain | {"init": "auto", "activation": activation}, data)
    torch.manual_seed(5)
    twin = twin_of(module(), pieces=2 if activation == "maxout" else 1)
    assert_alike(mine, drawn(twin, draw, lecun), data)


@pytest.mark.parametrize(("said", "draw", "last"), [("auto", he, lecun), ("he", he, he)])
def test_a_bias_is_that_of_the_hidden_layers(said: str, draw: Draw, last: Draw) -> None:
    plain, data, twin_of = FAMILIES["dnn"]
    mine = ours(plain | {"init": {"kind": said, "bias": -0.3}}, data)
    torch.manual_seed(5)
    assert_alike(mine, drawn(twin_of(nn.ReLU()), draw, last, bias=-0.3), data)


class LastState(nn.Module):
    """A recurrent network of torch, read out at the end of each direction."""

    def __init__(self, cell: nn.RNNBase) -> None:
        super().__init__()
        self.cell = cell
        self.output = nn.Linear(4 * (2 if cell.bidirectional else 1), 2)

    def forward(self, x: Tensor) -> Tensor:
        states = self.cell(x)[0]
        return self.output(torch.cat([states[:, -1, :4], states[:, 0, 4:]], dim=1))


CELLS: dict[str, Any] = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
RECURRENT: dict[str, tuple[Any, Draw]] = {
    "default": ("default", lambda weight: None),
    "orthogonal": ("orthogonal", init.orthogonal_),
    "orthogonal of gain 2": ({"kind": "orthogonal", "gain": 2.0}, lambda weight: init.orthogonal_(weight, 2.0)),
    "identity": ("identity", init.eye_),
    "half the identity": ({"kind": "identity", "gain": 0.5}, lambda weight: weight.copy_(torch.eye(4) / 2)),
}


def a_twin(cell: str, both: bool) -> LastState:
    torch.manual_seed(5)
    return LastState(CELLS[cell](3, 4, batch_first=True, bidirectional=both))


@torch.no_grad()
def draw_gates(cell: nn.Module, which: str, draw: Draw) -> None:
    for name, weight in cell.named_parameters():
        if name.startswith(which):
            for gate in weight.split(4):
                draw(gate)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("kind", RECURRENT)
def test_recurrent_weights_are_drawn_gate_by_gate(kind: str, cell: str, both: bool) -> None:
    said, draw = RECURRENT[kind]
    plain = {"family": "rnn", "cell": cell, "hidden": 4, "bidirectional": both, "recurrent_init": said}
    twin = a_twin(cell, both)
    draw_gates(twin.cell, "weight_ih", init.xavier_normal_)
    draw_gates(twin.cell, "weight_hh", draw)
    drawn(nn.Sequential(twin.output), lecun, lecun)
    assert_alike(ours(plain, SEQUENCE), twin, SEQUENCE)


@pytest.mark.parametrize("both", [False, True])
def test_the_forget_bias_is_the_sum_of_both_vectors_of_its_gate(both: bool) -> None:
    plain = {"family": "rnn", "cell": "lstm", "hidden": 4, "bidirectional": both, "forget_bias": 3.0, "init": "default"}
    twin = a_twin("lstm", both)
    with torch.no_grad():
        for name, bias in twin.cell.named_parameters():
            if name.startswith("bias"):
                bias[4:8] = 3.0 if "_ih_" in name else 0.0
    mine: Any = ours(plain, SEQUENCE)
    cell = mine.recurrent_0.cell
    assert (cell.bias_ih_l0 + cell.bias_hh_l0)[4:8].tolist() == [3.0] * 4
    assert_alike(mine, twin, SEQUENCE)


def test_a_bias_of_a_recurrent_layer_is_the_sum_of_both_vectors() -> None:
    plain = {"family": "rnn", "cell": "gru", "hidden": 4, "init": {"kind": "auto", "bias": 0.2}}
    twin = a_twin("gru", both=False)
    draw_gates(twin.cell, "weight_ih", init.xavier_normal_)
    drawn(nn.Sequential(twin.output), lecun, lecun)
    init.constant_(twin.cell.bias_ih_l0, 0.2)
    init.zeros_(twin.cell.bias_hh_l0)
    assert_alike(ours(plain, SEQUENCE), twin, SEQUENCE)


def test_a_stack_without_activation_is_the_product_of_its_matrices() -> None:
    network = ours({"family": "dnn", "hidden": [16] * 8, "activation": "linear", "bias": False}, TABLE)
    product = torch.eye(6)
    for weight in network.parameters():
        product = weight @ product
    x = torch.randn(50, 6)
    torch.testing.assert_close(network(x), x @ product.T, rtol=0, atol=1e-5)
