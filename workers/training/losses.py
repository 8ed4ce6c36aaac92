"""The loss of a job: a mean over rows (and time steps, where each has a target)."""

from collections.abc import Callable
from typing import Literal

from torch import Tensor
from torch.nn import functional

from models.catalogue import Task

LossName = Literal["cross_entropy", "mse"]
Loss = Callable[[Tensor, Tensor], Tensor]

DEFAULTS: dict[Task, LossName] = {"classification": "cross_entropy", "regression": "mse"}


def loss_name(chosen: Literal["auto", "cross_entropy", "mse"], task: Task) -> LossName:
    return DEFAULTS[task] if chosen == "auto" else chosen


def cross_entropy(logits: Tensor, classes: Tensor) -> Tensor:
    """In nats; logits [..., classes], classes [...]."""
    return functional.cross_entropy(logits.flatten(0, -2), classes.flatten())


LOSSES: dict[LossName, Loss] = {"cross_entropy": cross_entropy, "mse": functional.mse_loss}
