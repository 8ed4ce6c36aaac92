"""Whether a step did what its gradient promised, by one more forward pass over its batches.

    with descent.watching():
        loss = ...; loss.backward()
    optimizer.step()
    descent.take(batches, promised)  # float64 [loss, rho, loss_after, predicted]

rho = (L(w + dw) - L(w)) / g.dw, with g = dL/dw before clipping. Of a quadratic loss with the Hessian H it is
1 - dw'H dw / (2 |g.dw|): near 1 for a small step, 1/2 for the best one along its direction, below 0 where the loss
rises. It is the ratio of actual to predicted reduction that trust region methods steer by (Conn, Gould and Toint 2000,
section 6.1), with a linear model.

Both losses are means of double precision over outputs of float32: of a step so small that it changes the loss by less
than about 1e-7 of it rho is noise.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from workers.training.losses import Loss
from workers.training.parts import Batch
from workers.training.ranks import ALONE, Ranks
from workers.training.state import State
from workers.training.unmoved import Unmoved


class Descent:
    """The loss of a step before and after it, on the same rows and with the same dropout masks."""

    def __init__(
        self,
        network: nn.Module,
        loss: Loss,
        autocast: Callable[[], AbstractContextManager[None]],
        ranks: Ranks = ALONE,
    ) -> None:
        self._network, self._loss, self._autocast, self._ranks = network, loss, autocast, ranks
        self._unmoved = Unmoved(network)
        self._drawn_from: State | None = None
        self._outputs: list[Tensor] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        """The forward passes within it are those of the step."""
        self._drawn_from, self._outputs = self._unmoved.random_state(), []
        handle = self._network.register_forward_hook(self._see)
        try:
            yield
        finally:
            handle.remove()

    def _see(self, network: nn.Module, inputs: Any, outputs: Tensor) -> None:
        self._outputs.append(outputs.detach())

    @torch.no_grad()
    def take(self, batches: list[Batch], promised: Tensor) -> Tensor:
        """float64 [loss, rho, loss_after, predicted] of the rows of all ranks, on the device. `promised`: g.dw."""
        seen, self._outputs = self._outputs, []
        with self._unmoved.norms(), self._unmoved.drawing_from(self._drawn_from):
            again = [self._forward(x) for x, _ in batches]
        targets = [y for _, y in batches]
        losses = self._ranks.sum(torch.stack([self._mean(outputs, targets) for outputs in (seen, again)]))
        before, after = losses
        rho = torch.where(promised == 0, torch.nan, (after - before) / promised)
        return torch.stack([before, rho, after, promised])

    def _forward(self, x: Tensor) -> Tensor:
        with self._autocast():
            outputs: Tensor = self._network(x)
        return outputs

    def _mean(self, outputs: list[Tensor], targets: list[Tensor]) -> Tensor:
        """This rank's part of the loss of the step."""
        parts = [
            self._loss.part(of_batch, self._ranks.own(whole), whole, torch.float64)
            for of_batch, whole in zip(outputs, targets, strict=True)
        ]
        return parts[0] if len(parts) == 1 else torch.stack(parts) @ self._loss.shares(targets)
