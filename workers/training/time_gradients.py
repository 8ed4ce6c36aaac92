"""Gradients over time of recurrent layers: the norm of dL/dh_t, exact, for rnn, lstm and gru.

A fused layer of torch shows only the part of dL/dh_t that comes straight from its output. So on a sampled step each
layer is stepped again by hand from its recorded input, in double, and the recorded gradient of its output is sent back
through these steps; what arrives at h_t is all of dL/dh_t. The training itself is not touched.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from workers.training.networks import Recurrent


class TimeGradients:
    """The recurrent layers of a network in order, each direction on its own."""

    def __init__(self, network: nn.Module, time_steps: Sequence[int]) -> None:
        """`time_steps`: those to report, ascending; the same for all layers."""
        self._cells: list[Any] = [module.cell for module in network.modules() if isinstance(module, Recurrent)]
        self._time_steps = torch.tensor(time_steps, device=next(network.parameters()).device)
        self._seen: list[tuple[Tensor, Tensor]] = []

    def __len__(self) -> int:
        return len(self._cells)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Forward and backward within it are seen by `take`."""
        self._seen = []
        handles = [cell.register_forward_hook(partial(_keep, self._seen)) for cell in self._cells]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def take(self) -> Tensor:
        """float64 [layers x directions, time_steps]: the norm over rows and units of dL/dh_t."""
        norms = []
        for cell, (x, output) in zip(self._cells, self._seen, strict=True):
            gradient = torch.zeros_like(output) if output.grad is None else output.grad
            for direction, part in enumerate(torch.split(gradient, cell.hidden_size, dim=2)):
                norms.append(state_gradients(cell, x, part, reverse=direction == 1).flatten(1).norm(dim=1))
        self._seen = []
        return torch.stack(norms)[:, self._time_steps]


def _keep(seen: list[tuple[Tensor, Tensor]], cell: nn.Module, inputs: tuple[Tensor], output: Any) -> None:
    output[0].retain_grad()
    seen.append((inputs[0].detach(), output[0]))


def state_gradients(cell: nn.RNNBase, x: Tensor, output_gradient: Tensor, reverse: bool) -> Tensor:
    """dL/dh_t of one direction, float64 [time, rows, units], from the gradient of its output [rows, time, units]."""
    weights = [weight.detach().double() for weight in cell.all_weights[1 if reverse else 0]]
    w_input, w_state, b_input, b_state = weights
    inputs = functional.linear(x.double(), w_input, b_input).unbind(1)
    order = range(len(inputs) - 1, -1, -1) if reverse else range(len(inputs))
    step, units = STEPS[cell.mode], cell.hidden_size
    h = x.new_zeros((len(x), units), dtype=torch.float64).requires_grad_()
    memory = torch.zeros_like(h)
    states: dict[int, Tensor] = {}
    with torch.enable_grad():
        for t in order:
            h, memory = step(inputs[t], functional.linear(h, w_state, b_state), h, memory)
            h.retain_grad()
            states[t] = h
        outputs = torch.stack([states[t] for t in range(len(inputs))], dim=1)
        outputs.backward(output_gradient.double())  # type: ignore[no-untyped-call]
    gradients = [states[t].grad for t in range(len(inputs))]
    return torch.stack([gradient for gradient in gradients if gradient is not None])


def _rnn(activation: Any, inputs: Tensor, recurrent: Tensor, h: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    return activation(inputs + recurrent), memory


def _lstm(inputs: Tensor, recurrent: Tensor, h: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000."""
    i, f, g, o = (inputs + recurrent).chunk(4, dim=1)
    memory = f.sigmoid() * memory + i.sigmoid() * g.tanh()
    return o.sigmoid() * memory.tanh(), memory


def _gru(inputs: Tensor, recurrent: Tensor, h: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """Cho et al. 2014, with the reset gate after the recurrent product, as in torch."""
    (r_input, z_input, n_input), (r_state, z_state, n_state) = inputs.chunk(3, dim=1), recurrent.chunk(3, dim=1)
    r, z = (r_input + r_state).sigmoid(), (z_input + z_state).sigmoid()
    return (1 - z) * (n_input + r * n_state).tanh() + z * h, memory


STEPS: dict[str, Any] = {
    "RNN_TANH": partial(_rnn, torch.tanh),
    "RNN_RELU": partial(_rnn, torch.relu),
    "LSTM": _lstm,
    "GRU": _gru,
}
