"""Gradients over time equal those of two twins: one steps torch's own cells by hand through the whole network, the
other each layer in double from what it took in, and both leave the gradients to autograd."""

import copy
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from models.catalogue import DataShape
from models.definitions.network import Network
from models.reports import Report, Sampled
from models.series import Chunk
from models.shapes import trace
from workers.training.descent import Descent
from workers.training.losses import Loss
from workers.training.networks import Recurrent, build
from workers.training.parameters import FlatParameters
from workers.training.recorder import Recorder
from workers.training.stopwatch import Stopwatch
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


KINDS = [("rnn", "tanh"), ("rnn", "relu"), ("lstm", "tanh"), ("gru", "tanh")]


def step_rnn(activation: Any, inputs: Tensor, recurrent: Tensor, h: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    return activation(inputs + recurrent), memory


def step_lstm(inputs: Tensor, recurrent: Tensor, h: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    i, f, g, o = (inputs + recurrent).chunk(4, dim=1)
    memory = f.sigmoid() * memory + i.sigmoid() * g.tanh()
    return o.sigmoid() * memory.tanh(), memory


def step_gru(inputs: Tensor, recurrent: Tensor, h: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    (r_input, z_input, n_input), (r_state, z_state, n_state) = inputs.chunk(3, dim=1), recurrent.chunk(3, dim=1)
    r, z = (r_input + r_state).sigmoid(), (z_input + z_state).sigmoid()
    return (1 - z) * (n_input + r * n_state).tanh() + z * h, memory


STEPS: dict[str, Any] = {
    "RNN_TANH": partial(step_rnn, torch.tanh),
    "RNN_RELU": partial(step_rnn, torch.relu),
    "LSTM": step_lstm,
    "GRU": step_gru,
}


def norms_by_autograd(cell: Any, x: Tensor, output_gradient: Tensor, reverse: bool) -> Tensor:
    """The norm of dL/dh_t of one direction, float64 [time]: stepped in double, the gradient of its output sent back."""
    weights = [weight.detach().double() for weight in cell.all_weights[1 if reverse else 0]]
    w_input, w_state, b_input, b_state = weights
    inputs = nn.functional.linear(x.double(), w_input, b_input).unbind(1)
    h = x.new_zeros((len(x), cell.hidden_size), dtype=torch.float64).requires_grad_()
    memory = torch.zeros_like(h)
    states: dict[int, Tensor] = {}
    for t in range(len(inputs) - 1, -1, -1) if reverse else range(len(inputs)):
        h, memory = STEPS[cell.mode](inputs[t], nn.functional.linear(h, w_state, b_state), h, memory)
        h.retain_grad()
        states[t] = h
    outputs = torch.stack([states[t] for t in range(len(inputs))], dim=1)
    outputs.backward(output_gradient.double())
    return torch.stack([gradient_of(states[t]).norm() for t in range(len(inputs))])


def gradient_of(tensor: Tensor) -> Tensor:
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


def measured_and_by_autograd(network: nn.Module, x: Tensor, bfloat16: bool = False) -> tuple[Tensor, Tensor]:
    """float64 [layers x directions, time] twice, of a mean of squares."""
    passed: dict[Any, tuple[Tensor, Tensor]] = {}

    def keep(cell: nn.Module, inputs: Any, output: Any) -> None:
        output[0].retain_grad()
        passed[cell] = (inputs[0].detach(), output[0])

    for module in network.modules():
        if isinstance(module, Recurrent):
            module.cell.register_forward_hook(keep)
    time_gradients = TimeGradients(network, range(x.shape[1]))
    with time_gradients.watching():
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            outputs = network(x)
        outputs.square().mean().backward()
    twin = [
        norms_by_autograd(cell, inputs, part, reverse=direction == 1)
        for cell, (inputs, output) in passed.items()
        for direction, part in enumerate(gradient_of(output).split(cell.hidden_size, 2))
    ]
    return time_gradients.take(), torch.stack(twin)


def recurrent_network(cell: str, nonlinearity: str, length: int = 12, readout: str = "last", **more: Any) -> nn.Module:
    plain = {"family": "rnn", "cell": cell, "nonlinearity": nonlinearity, "hidden": 6, "readout": readout}
    shape = DataShape("sequence", "regression", 100, (length, 3), 2, per_step=readout == "each")
    torch.manual_seed(5)
    return build(NETWORK.validate_python(plain | more), shape)


@pytest.mark.parametrize(("precision", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
@pytest.mark.parametrize("readout", ["last", "mean", "each"])
@pytest.mark.parametrize(("layers", "bidirectional"), [(1, False), (1, True), (2, False), (2, True)])
@pytest.mark.parametrize(("cell", "nonlinearity"), KINDS)
def test_they_equal_those_of_autograd(
    cell: str,
    nonlinearity: str,
    layers: int,
    bidirectional: bool,
    readout: str,
    precision: torch.dtype,
    tolerance: float,
) -> None:
    network = recurrent_network(cell, nonlinearity, layers=layers, bidirectional=bidirectional, readout=readout).to(
        precision
    )
    measured, twin = measured_and_by_autograd(network, torch.randn(5, 12, 3, dtype=precision))
    assert measured.min() > 0
    torch.testing.assert_close(measured, twin, rtol=tolerance, atol=0)


@pytest.mark.parametrize(("precision", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 2e-5)])
@pytest.mark.parametrize(("cell", "nonlinearity"), KINDS)
def test_they_are_exact_far_below_what_32_bits_hold(
    cell: str, nonlinearity: str, precision: torch.dtype, tolerance: float
) -> None:
    network = recurrent_network(cell, nonlinearity, length=80, bidirectional=True).to(precision)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "weight_hh" in name or "bias" in name:
                parameter.mul_(0.3)
            if cell in {"lstm", "gru"} and "bias_ih" in name:
                parameter[6:12] -= 2  # the gate that keeps what was there
    measured, twin = measured_and_by_autograd(network, torch.randn(5, 80, 3, dtype=precision))
    assert 0 < measured.min() < 1e-45
    torch.testing.assert_close(measured, twin, rtol=tolerance, atol=0)


def test_a_saturated_unit_has_a_slope_where_its_state_is_one() -> None:
    network = recurrent_network("rnn", "tanh")
    cell: Any = network.recurrent_0.cell
    with torch.no_grad():
        cell.bias_ih_l0.fill_(12.0)
    x = torch.randn(5, 12, 3)
    assert bool((cell(x)[0] == 1).all())
    measured, twin = measured_and_by_autograd(network, x)
    torch.testing.assert_close(measured, twin, rtol=1e-5, atol=0)


@pytest.mark.parametrize(("cell", "nonlinearity"), KINDS)
def test_bfloat16_gives_about_the_same(cell: str, nonlinearity: str) -> None:
    network = recurrent_network(cell, nonlinearity, readout="mean")
    measured, twin = measured_and_by_autograd(network, torch.randn(5, 12, 3), bfloat16=True)
    torch.testing.assert_close(measured, twin, rtol=0.05, atol=0)


def test_a_sequence_of_one_step_has_the_gradient_of_its_output() -> None:
    for cell, nonlinearity in KINDS:
        measured, twin = measured_and_by_autograd(recurrent_network(cell, nonlinearity, length=1), torch.randn(5, 1, 3))
        torch.testing.assert_close(measured, twin)


def test_of_several_passes_the_last_one_is_seen() -> None:
    network = recurrent_network("gru", "tanh")
    first, last = torch.randn(2, 5, 12, 3)

    def measured(*batches: Tensor) -> Tensor:
        time_gradients = TimeGradients(network, range(12))
        with time_gradients.watching():
            for x in batches:
                network(x).square().mean().backward()
        return time_gradients.take()

    assert torch.equal(measured(first, last), measured(last))


def test_a_sample_is_of_the_weights_before_the_step() -> None:
    definition = NETWORK.validate_python({"family": "rnn", "cell": "lstm", "hidden": 6})
    torch.manual_seed(5)
    network, x = build(definition, SEQUENCE), torch.randn(5, 7, 3)
    expected, _ = measured_and_by_autograd(copy.deepcopy(network), x)
    reports: list[Report] = []
    parameters = FlatParameters(network)
    descent = Descent(network, Loss("mse"), nullcontext)
    recorder = Recorder(network, parameters, trace(definition, SEQUENCE), 1, 1, reports.append, Stopwatch(), descent)
    sample = recorder.step(0)
    with sample.watching():
        outputs = network(x)
        outputs.square().mean().backward()
    sample.before_clipping()
    parameters.values.add_(1.0)
    sample.after_step([(x, torch.zeros_like(outputs))])
    recorder.finish()
    (data,) = (report.data for report in reports if isinstance(report, Sampled) and report.series == "time")
    np.testing.assert_allclose(Chunk.decode(data).values.ravel(), expected.numpy().ravel(), rtol=1e-6)
