"""An epoch under way: how far it is, and what its steps have shown."""

import time
from typing import Any

import torch
from torch import Tensor

from models.catalogue import DataShape
from workers.training.metrics import Confusion, MeanLoss, skill
from workers.training.ranks import ALONE, Ranks
from workers.training.state import State


class Epoch:
    """One pass over the training rows."""

    def __init__(self, shape: DataShape, order: torch.Generator, device: torch.device, ranks: Ranks = ALONE) -> None:
        """`order`: from which the order of the rows is about to be drawn."""
        self.steps = 0
        """Taken in it."""
        self.order = order.get_state()
        """Of the generator before it drew."""
        self._started = time.perf_counter()
        self._mean = MeanLoss(device, ranks)
        self._judged = Confusion(len(shape.classes), device, ranks) if shape.classes else None

    def see(self, outputs: Tensor, loss: Tensor, y: Tensor) -> None:
        """One batch."""
        self._mean.add(loss, len(y))
        if self._judged:
            self._judged.add(outputs, y)

    def metrics(self, constant: float) -> dict[str, float | None]:
        """`constant`: the loss of the best constant predictor."""
        loss = self._mean.mean()
        accuracy = {"train_accuracy": self._judged.metrics()["accuracy"]} if self._judged and loss is not None else {}
        return {"train_loss": loss, **accuracy, "skill": None if loss is None else skill(loss, constant)}

    @property
    def seconds(self) -> float:
        """Since it began, without those in which nobody trained."""
        return time.perf_counter() - self._started

    def state(self) -> State:
        judged: Any = self._judged.state() if self._judged else None
        return {
            "steps": self.steps,
            "order": self.order,
            "seconds": self.seconds,
            "mean": self._mean.state(),
            "judged": judged,
        }

    def restore(self, state: State) -> None:
        self.steps, self.order = state["steps"], state["order"]
        self._started = time.perf_counter() - state["seconds"]
        self._mean.restore(state["mean"])
        if self._judged:
            self._judged.restore(state["judged"])
