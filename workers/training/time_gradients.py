"""Gradients over time of recurrent layers: the norm of dL/dh_t, exact, for rnn, lstm and gru.

A fused layer of torch shows only the part of dL/dh_t that comes straight from its output; `backward_in_time` adds what
comes back from later steps. The training itself is not touched.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from workers.training.backward_in_time import CELLS, Run, Walk
from workers.training.networks import Recurrent
from workers.training.ranks import ALONE, Ranks


class TimeGradients:
    """The recurrent layers of a network in order, each direction on its own."""

    def __init__(self, network: nn.Module, time_steps: Sequence[int], ranks: Ranks = ALONE) -> None:
        """`time_steps`: those to report, ascending; the same for all layers."""
        self._ranks = ranks
        self._cells: list[Any] = [module.cell for module in network.modules() if isinstance(module, Recurrent)]
        self._time_steps = torch.tensor(time_steps, device=next(network.parameters()).device)
        self._seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def __len__(self) -> int:
        return len(self._cells)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Forward and backward within it are seen by `take`; of several passes the last one is."""
        handles = [cell.register_forward_hook(partial(_keep, self._seen)) for cell in self._cells]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @torch.no_grad()
    def take(self) -> Tensor:
        """float64 [layers x directions, time_steps]: the norm over rows and units of dL/dh_t.

        For before the optimizer moves the weights. What was seen is let go.
        """
        norms = []
        for cell in self._cells:
            x, output = self._seen.pop(cell)
            gradient = torch.zeros_like(output) if output.grad is None else output.grad
            parts = zip(
                torch.split(output, cell.hidden_size, 2), torch.split(gradient, cell.hidden_size, 2), strict=True
            )
            for direction, (states, part) in enumerate(parts):
                norms.append(state_gradients(cell, x, states, part, reverse=direction == 1).flatten(1).norm(dim=1))
        return self._ranks.norms(torch.stack(norms)[:, self._time_steps])


def _keep(seen: dict[nn.Module, tuple[Tensor, Tensor]], cell: nn.Module, inputs: tuple[Tensor], output: Any) -> None:
    output[0].retain_grad()
    seen[cell] = (inputs[0].detach(), output[0])


@torch.no_grad()
def state_gradients(cell: Any, x: Tensor, states: Tensor, output_gradient: Tensor, reverse: bool) -> Tensor:
    """dL/dh_t of one direction, float64 [time, rows, units].

    From the input [rows, time, features], the output, which is the states, and its gradient, both [rows, time, units].
    """
    parameters = cell.all_weights[1 if reverse else 0]
    x, states = (_in_order(_as_computed(sequence, states), reverse) for sequence in (x, states))
    by_gate = (torch.split(_as_computed(parameter, states), cell.hidden_size) for parameter in parameters)
    run = Run(x, states, *by_gate)
    gradients = torch.empty_like(states, dtype=torch.float64).copy_(_in_order(output_gradient, reverse))
    CELLS[cell.mode](run, Walk(run, gradients))
    return gradients.flip(0) if reverse else gradients


def _in_order(sequence: Tensor, reverse: bool) -> Tensor:
    """[rows, time, ...] as [time, rows, ...], in the order in which the direction goes."""
    steps = sequence.transpose(0, 1)
    return steps.flip(0) if reverse else steps.contiguous()


def _as_computed(values: Tensor, states: Tensor) -> Tensor:
    """Rounded like the states, as autocast did; from there on in floats of 32 bits at least."""
    return values.detach().to(states.dtype).to(torch.promote_types(states.dtype, torch.float32))
