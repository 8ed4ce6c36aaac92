"""Gradients over time equal those of a twin that steps torch's own cells by hand through the whole network."""

from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from models.catalogue import DataShape
from models.definitions.network import Network
from workers.training.networks import build
from workers.training.time_gradients import TimeGradients

NETWORK: TypeAdapter[Any] = TypeAdapter(Network)
SEQUENCE = DataShape("sequence", "regression", 100, (7, 3), 2)
CELLS = {"rnn": nn.RNNCell, "lstm": nn.LSTMCell, "gru": nn.GRUCell}


def stepped(layer: Any, cell: str, x: Tensor, suffix: str, states: list[Tensor]) -> Tensor:
    """One direction by torch's cell, step by step; its states are kept with their gradients."""
    weights = {name.split("_l0")[0]: value for name, value in layer.named_parameters() if name.endswith(f"l0{suffix}")}
    nonlinearity = {"nonlinearity": layer.nonlinearity} if cell == "rnn" else {}
    by_hand = CELLS[cell](x.shape[-1], layer.hidden_size, **nonlinearity)
    by_hand.load_state_dict({name: value.detach() for name, value in weights.items()})
    order = list(range(x.shape[1]))
    h: Any = torch.zeros(len(x), layer.hidden_size)
    c = torch.zeros_like(h)
    seen = {}
    for t in reversed(order) if suffix else order:
        if cell == "lstm":
            h, c = by_hand(x[:, t], (h, c))
        else:
            h = by_hand(x[:, t], h)
        h.retain_grad()
        seen[t] = h
    states += [seen[t] for t in order]
    return torch.stack([seen[t] for t in order], dim=1)


@pytest.mark.parametrize("readout", ["last", "mean"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(
    ("cell", "nonlinearity"), [("rnn", "tanh"), ("rnn", "relu"), ("lstm", "tanh"), ("gru", "tanh")]
)
def test_they_equal_a_hand_stepped_twin(
    cell: str, nonlinearity: str, bidirectional: bool, layers: int, readout: str
) -> None:
    plain = {"family": "rnn", "cell": cell, "nonlinearity": nonlinearity, "hidden": 5, "layers": layers,
             "bidirectional": bidirectional, "readout": readout, "head": [4], "activation": "tanh"}  # fmt: skip
    torch.manual_seed(3)
    network: Any = build(NETWORK.validate_python(plain), SEQUENCE)
    x, y = torch.randn(6, 7, 3), torch.randn(6, 2)

    states: list[Tensor] = []
    z = x
    for index in range(layers):
        layer = getattr(network, f"recurrent_{index}").cell
        suffixes = ("", "_reverse") if bidirectional else ("",)
        z = torch.cat([stepped(layer, cell, z, suffix, states) for suffix in suffixes], dim=2)
    outputs = network.output(network.head_0(network.readout(z)))
    nn.functional.mse_loss(outputs, y).backward()
    by_hand = np.array([float(state.grad.double().norm()) if state.grad is not None else 0.0 for state in states])
    network.zero_grad()

    time_gradients = TimeGradients(network, range(7))
    with time_gradients.watching():
        measured_outputs = network(x)
        nn.functional.mse_loss(measured_outputs, y).backward()
    torch.testing.assert_close(measured_outputs, outputs)
    measured = time_gradients.take().numpy().ravel()
    # float32 in the twin, so what is far below the largest gradient carries its rounding.
    np.testing.assert_allclose(measured, by_hand, rtol=1e-5, atol=1e-7 * by_hand.max())
    assert measured.min() > 0


def test_watching_changes_no_gradient() -> None:
    plain = {"family": "rnn", "cell": "gru", "hidden": 5, "dropout": 0.4, "layers": 2}
    torch.manual_seed(3)
    network = build(NETWORK.validate_python(plain), SEQUENCE)
    x = torch.randn(6, 7, 3)

    def gradients(watching: bool) -> list[Tensor]:
        torch.manual_seed(4)
        network.zero_grad()
        time_gradients = TimeGradients(network, range(7))
        if watching:
            with time_gradients.watching():
                network(x).square().mean().backward()
            time_gradients.take()
        else:
            network(x).square().mean().backward()
        return [parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None]

    assert all(torch.equal(a, b) for a, b in zip(gradients(True), gradients(False), strict=True))


def test_a_gradient_that_vanishes_over_a_long_sequence_is_not_zero() -> None:
    plain = {"family": "rnn", "cell": "rnn", "hidden": 8, "recurrent_init": {"kind": "identity", "gain": 0.3}}
    network = build(NETWORK.validate_python(plain), DataShape("sequence", "regression", 9, (60, 2), 1))
    time_gradients = TimeGradients(network, [0, 30, 59])
    with time_gradients.watching():
        network(torch.randn(4, 60, 2)).square().mean().backward()
    first, middle, last = time_gradients.take()[0].tolist()
    assert 0 < first < 1e-30 * last
    assert first < middle < last
