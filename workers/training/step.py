"""One step, as a teacher tells it: forward, backward, measure, clip, step."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from models.definitions.training import Clip
from workers.training.guard import Guard
from workers.training.losses import Loss
from workers.training.optimizers import Optimizer, clip_gradients
from workers.training.parameters import FlatParameters
from workers.training.parts import Batch
from workers.training.ranks import Ranks
from workers.training.recorder import Step

See = Callable[[Tensor, Tensor, Tensor], None]
"""Is told outputs, loss and targets of each batch, for the metrics of the epoch."""


class StepFunction(Protocol):
    """Takes a step along the gradient of its batches, at the rate that the optimizer has."""

    def __call__(self, batches: list[Batch], sample: Step, see: See) -> None: ...


@dataclass(frozen=True)
class EagerStep:
    """Every operation as Python comes to it."""

    network: nn.Module
    loss: Loss
    parameters: FlatParameters
    optimizer: Optimizer
    clip: Clip | None
    autocast: Callable[[], AbstractContextManager[None]]
    """Around the forward pass: in which precision it computes."""
    guard: Guard

    def __call__(self, batches: list[Batch], sample: Step, see: See) -> None:
        self.parameters.zero_gradients()
        self.guard.begin()
        with sample.watching():
            self.backward(batches, see)
        sample.before_clipping()
        if self.guard.passes():
            if self.clip:
                clip_gradients(self.clip, self.parameters.gradients)
                sample.after_clipping()
            self.guard.update(self.optimizer)
        sample.after_step(batches)

    def backward(self, batches: list[Batch], see: See) -> None:
        """Adds up the gradients of all batches."""
        for (x, y), share in zip(batches, self.shares(batches), strict=True):
            with self.autocast():
                outputs = self.network(x)
            loss = self.loss(outputs, y)
            loss.backward(share)  # type: ignore[no-untyped-call]
            self.guard.add(loss, share)
            see(outputs, loss, y)

    def shares(self, batches: list[Batch]) -> list[Tensor | None]:
        """Of each batch in the mean over all rows of a step; None where the step has one batch."""
        if len(batches) == 1:
            return [None]
        return list(self.loss.shares([y for _, y in batches]).float())


@dataclass(frozen=True)
class SharedStep(EagerStep):
    """The step of one of several ranks: all of them have the gradients of the whole batches when it measures."""

    ranks: Ranks

    def backward(self, batches: list[Batch], see: See) -> None:
        for (x, whole), share in zip(batches, self.shares(batches), strict=True):
            y = self.ranks.own(whole)
            with self.autocast():
                outputs = self.network(x)
            part = self.loss.part(outputs, y, whole)
            part.backward(share)  # type: ignore[no-untyped-call]
            self.guard.add(part, share)
            # A loss that overflowed may have a finite gradient: this tells all ranks, and adds 0 where it did not.
            self.parameters.gradients[:1] += part.detach() * 0
            if len(y):
                # By rows, as the epoch's mean adds it up, the parts of all ranks come to the loss of the batch.
                see(outputs, part * (len(whole) / len(y)), y)
        self.ranks.sum(self.parameters.gradients)
