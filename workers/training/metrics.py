"""How good the outputs of an epoch were. Batches are added on the device; only `metrics()` waits for it.

    epoch = meter(shape, prepared.target, device)
    for each batch: epoch.add(outputs, y)
    epoch.metrics()  # {"accuracy": 0.98, "macro_f1": 0.98} or {"rmse": 53.1, "mae": 42.0, "r2": 0.51}

Where any output of the epoch was not finite, every metric is NaN.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from models.catalogue import DataShape
from workers.training.ranks import ALONE, Ranks
from workers.training.scale import TargetScale
from workers.training.state import State
from workers.training.transfer import sent


class Meter(Protocol):
    def add(self, outputs: Tensor, targets: Tensor) -> None: ...
    def metrics(self) -> dict[str, float]: ...


def meter(shape: DataShape, scale: TargetScale, device: torch.device, ranks: Ranks = ALONE) -> Meter:
    """An empty meter for a data set of this shape; each rank adds its own rows."""
    return Confusion(len(shape.classes), device, ranks) if shape.task == "classification" else Errors(scale, ranks)


NAMES = {"classification": ("accuracy", "macro_f1"), "regression": ("rmse", "mae", "r2")}
"""What a meter gives, by task."""

FOLDED_VALUES = 2**18
"""Outputs that wait to be counted together: the operations of one batch cost as much as those of many."""


class Confusion:
    """Counts [truth, prediction] of a classification."""

    def __init__(self, classes: int, device: torch.device, ranks: Ranks = ALONE) -> None:
        self._ranks = ranks
        self.counts = torch.zeros(classes, classes, dtype=torch.int64, device=device)
        self.finite = torch.ones((), dtype=torch.bool, device=device)
        self._waiting: list[tuple[Tensor, Tensor]] = []
        self._most = 0

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        """Logits [..., classes], or [..., 1] of the second of two classes, and true classes [...]."""
        if not self._waiting:
            self._most = max(FOLDED_VALUES // max(outputs.numel(), 1), 1)
        self._waiting.append((outputs.detach(), targets))
        if len(self._waiting) >= self._most:
            self._count()

    def _count(self) -> None:
        if not self._waiting:
            return
        outputs = torch.cat([outputs.flatten(0, -2) for outputs, _ in self._waiting])
        targets = torch.cat([targets.flatten() for _, targets in self._waiting])
        self._waiting = []
        predicted = (outputs[:, 0] > 0).long() if outputs.shape[1] == 1 else outputs.argmax(1)
        pairs = targets * len(self.counts) + predicted
        self.counts.view(-1).scatter_add_(0, pairs, torch.ones_like(pairs))  # bincount would wait for the device
        self.finite &= outputs.isfinite().all()

    def metrics(self) -> dict[str, float]:
        """`macro_f1` is the mean F1 of the classes that occur in truth or prediction."""
        self._count()
        counts, spoilt = self._ranks.sum(self.counts.clone()), self._ranks.sum((~self.finite).long())
        hits = counts.diagonal().double()
        seen = counts.sum(0) + counts.sum(1)
        f1 = (2 * hits / seen)[seen > 0].mean()
        return reported({"accuracy": hits.sum() / counts.sum(), "macro_f1": f1}, spoilt == 0)

    def state(self) -> State:
        self._count()
        return {"counts": self.counts, "finite": self.finite}

    def restore(self, state: State) -> None:
        self.counts.copy_(state["counts"])
        self.finite.copy_(state["finite"])


class MeanLoss:
    """The mean of batches' losses, each by its weight; it stays on the device until it is asked for."""

    def __init__(self, device: torch.device, ranks: Ranks = ALONE) -> None:
        self._ranks = ranks
        self._total = torch.zeros((), dtype=torch.float64, device=device)
        self._weight = torch.zeros_like(self._total)
        self._losses: list[Tensor] = []
        self._weights: list[Tensor | float] = []

    def add(self, loss: Tensor, weight: Tensor | float) -> None:
        """`weight`: rows, or a scalar tensor."""
        self._losses.append(loss.detach())
        self._weights.append(weight)
        if len(self._losses) >= FOLDED_LOSSES:
            self._fold()

    def mean(self) -> float | None:
        """None of no batch at all."""
        self._fold()
        total, weight = self._ranks.sum(torch.stack([self._total, self._weight])).tolist()
        return total / weight if weight else None

    def state(self) -> State:
        """What waits is kept as it is: added up in other portions it would give another last bit."""
        are_tensors = any(isinstance(weight, Tensor) for weight in self._weights)
        return {
            "total": self._total,
            "weight": self._weight,
            "losses": torch.stack(self._losses) if self._losses else [],
            "weights": torch.stack([*map(torch.as_tensor, self._weights)]) if are_tensors else self._weights,
        }

    def restore(self, state: State) -> None:
        device = self._total.device
        self._total.copy_(state["total"])
        self._weight.copy_(state["weight"])
        self._losses, self._weights = (_unstacked(state[name], device) for name in ("losses", "weights"))

    def _fold(self) -> None:
        if not self._losses:
            return
        weights = vector(self._weights, self._total.device)
        self._total += torch.stack(self._losses).double() @ weights
        self._weight += weights.sum()
        self._losses, self._weights = [], []


FOLDED_LOSSES = 1000


def _unstacked(values: Any, device: torch.device) -> list[Any]:
    return list(values.to(device).unbind()) if isinstance(values, Tensor) else list(values)


def vector(weights: Sequence[Tensor | float], device: torch.device) -> Tensor:
    """float64, of numbers or of scalar tensors."""
    scalars = [weight for weight in weights if isinstance(weight, Tensor)]
    return torch.stack(scalars).double() if scalars else sent(torch.tensor(weights, dtype=torch.float64), device)


class Errors:
    """Outputs and targets of a regression, collected, so that r2 can be computed in two stable passes."""

    def __init__(self, scale: TargetScale, ranks: Ranks = ALONE) -> None:
        self.scale = scale
        self._ranks = ranks
        self.outputs: list[Tensor] = []
        self.targets: list[Tensor] = []

    def add(self, outputs: Tensor, targets: Tensor) -> None:
        """Scaled outputs and targets, [..., outputs] both."""
        self.outputs.append(self.scale.restore(outputs.detach()).flatten(0, -2))
        self.targets.append(self.scale.restore(targets).flatten(0, -2))

    def metrics(self) -> dict[str, float]:
        """In the target's own units. `r2` is the mean over the outputs; NaN if the targets of one are all equal."""
        outputs, truth = self._ranks.joined(self.outputs), self._ranks.joined(self.targets)
        error = outputs - truth
        r2 = 1 - error.square().sum(0) / squared_deviation(truth)
        values = {"rmse": error.square().mean().sqrt(), "mae": error.abs().mean(), "r2": r2.mean()}
        return reported(values, outputs.isfinite().all())


def squared_deviation(truth: Tensor) -> Tensor:
    """Sum over the rows of the squared distance from each output's mean; NaN where all are equal."""
    total = (truth - truth.mean(0)).square().sum(0)
    return torch.where(truth.amax(0) > truth.amin(0), total, torch.nan)


def reported(values: dict[str, Tensor], finite: Tensor) -> dict[str, float]:
    """The metrics as numbers, in one transfer from the device; NaN unless all outputs were finite."""
    numbers = torch.where(finite, torch.stack(list(values.values())), torch.nan).tolist()
    return dict(zip(values, numbers, strict=True))


def skill(loss: float, constant: float) -> float | None:
    """1 - loss / constant: 0 has learned nothing, 1 is perfect. None where a constant already is perfect."""
    return 1 - loss / constant if constant else None
