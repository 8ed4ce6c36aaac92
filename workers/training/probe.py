"""A fixed batch that is asked at each sampled step: which units no row of it reaches, and its gradient.

A unit is dead where the slope of its activation is nearly 0 on every row: rows like these cannot move its weights. The
rows are the first of the training part, always the same, so that a share that rises is a matter of the weights; they
pass without dropout, and batch norm takes the statistics of the batch, as in training. Nothing that training depends on
is touched; `gradient_norm` overwrites the gradients, for every step begins by zeroing them.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from models.definitions.training import Training
from models.diagnosis.thresholds import SMALL_BATCH
from models.shapes import Architecture
from workers.training.hidden_layers import affine_layers, hidden_modules
from workers.training.losses import Loss
from workers.training.networks import Convolution, Dense
from workers.training.parameters import FlatParameters
from workers.training.parts import Batch, Part
from workers.training.unmoved import Unmoved

FEWEST_ROWS, MOST_ROWS = 64, 256


FLAT_BELOW: dict[type[nn.Module], float] = {nn.ReLU: 0.0, nn.GELU: -3.0, nn.SiLU: -7.0, nn.ELU: -4.6, nn.SELU: -4.6}
"""Up to which input an activation is flat. From -3 the slope of gelu is within 0.012 of 0, from -7 that of silu within
0.0055; at -4.6 that of elu is 0.01."""


def probe_rows(part: Part, batch_size: int) -> Batch:
    """The first rows of a part, in its own order."""
    rows = rows_of_probe(part, batch_size)
    return next(part.batches(torch.arange(rows), rows, 1))


def rows_of_probe(part: Part, batch_size: int) -> int:
    return min(MOST_ROWS, len(part), max(FEWEST_ROWS, batch_size))


def build_probe(
    network: nn.Module,
    parameters: FlatParameters,
    architecture: Architecture,
    loss: Loss,
    part: Part,
    training: Training,
    autocast: Callable[[], AbstractContextManager[None]],
    hidden_layers: bool = True,
) -> "Probe | None":
    """None where there is nothing to ask: no layer that can die, and steps of many rows."""
    units = units_of(network, architecture) if hidden_layers else []
    # Where the noise of a step is a question: it follows from the norms at two sizes (McCandlish et al. 2018, A.1).
    takes_gradient = training.batch_size * training.accumulate <= SMALL_BATCH
    if not any(units) and not takes_gradient:
        return None
    x, y = probe_rows(part, training.batch_size)
    return Probe(network, parameters, loss, x, y, units, takes_gradient, autocast)


def units_of(network: nn.Module, architecture: Architecture) -> list[list[Dense | Convolution]]:
    """Of each hidden layer those whose units can die: itself, or of a residual block the layers within."""
    return [
        [layer for layer in affine_layers(module) if type(layer.activation) in FLAT_BELOW]
        for module in hidden_modules(network, architecture)
    ]


class Probe:
    """The batch, and what it is asked."""

    def __init__(
        self,
        network: nn.Module,
        parameters: FlatParameters,
        loss: Loss,
        x: Tensor,
        y: Tensor,
        units: list[list[Dense | Convolution]],
        takes_gradient: bool,
        autocast: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._network, self._parameters, self._loss, self._autocast = network, parameters, loss, autocast
        self._x, self._y = x, y
        self._units, self._takes_gradient = units, takes_gradient
        self._unmoved = Unmoved(network)
        self._nan = torch.full((), torch.nan, dtype=torch.float64, device=y.device)
        self._dead: dict[nn.Module, Tensor] = {}

    def dead(self) -> Tensor | None:
        """The share of dead units of each hidden layer, float64 [layers], on the device; NaN where it has no meaning,
        of a block the largest within. None where no unit can die."""
        if not any(self._units):
            return None
        with self._asking() as stack, torch.no_grad():
            for layers in self._units:
                for layer in layers:
                    handle = layer.activation.register_forward_pre_hook(self._seeing(layer))
                    stack.callback(handle.remove)
            self._forward()
        dead = [torch.stack([self._dead[layer] for layer in layers] or [self._nan]).amax() for layers in self._units]
        self._dead.clear()
        return torch.stack(dead)

    def gradient_norm(self) -> Tensor:
        """Of the loss of the batch, float64 on the device; NaN where it is not taken."""
        if not self._takes_gradient:
            return self._nan
        with self._asking():
            self._parameters.zero_gradients()
            self._loss(self._forward(), self._y).backward()  # type: ignore[no-untyped-call]
        norm: Tensor = torch.linalg.vector_norm(self._parameters.gradients, dtype=torch.float64)
        return norm

    def _forward(self) -> Tensor:
        with self._autocast():
            outputs: Tensor = self._network(self._x)
        return outputs

    @contextmanager
    def _asking(self) -> Iterator[ExitStack]:
        with ExitStack() as stack:
            for unmoved in (self._unmoved.norms(), self._unmoved.no_dropout(), self._unmoved.alone()):
                stack.enter_context(unmoved)
            yield stack

    def _seeing(self, layer: Dense | Convolution) -> Callable[[nn.Module, Any], None]:
        axis = 1 if isinstance(layer, Convolution) else -1

        def see(activation: nn.Module, inputs: tuple[Tensor]) -> None:
            self._dead[layer] = dead_units(inputs[0].detach(), axis, FLAT_BELOW[type(activation)])

        return see


def dead_units(inputs: Tensor, axis: int, flat_below: float) -> Tensor:
    """The share of units along an axis whose inputs are all that low. A unit with a NaN is not dead."""
    others = [dimension for dimension in range(inputs.dim()) if dimension != axis % inputs.dim()]
    dead: Tensor = inputs.amax(others) <= flat_below
    return dead.double().mean()
