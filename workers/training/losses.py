"""The loss of a job: a mean over rows (and time steps, where each has a target), in float32."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from models.definitions.training import Training
from models.losses import LossName
from workers.training.metrics import vector


@dataclass(frozen=True)
class Loss:
    """What is minimised: `loss(outputs, targets)`, a scalar.

    Classes are int64 [...], with outputs [..., classes], or [..., 1] for binary_cross_entropy; the targets of a
    regression have the shape of the outputs.
    """

    name: LossName
    classes: int = 0
    """Of a classification."""
    weights: Tensor | None = None
    """float32 [classes]: the mean is weighted by that of each row's class, as in torch."""
    smoothing: float = 0.0

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return FUNCTIONS[self.name](self, outputs.float(), targets, "mean")

    def part(self, outputs: Tensor, targets: Tensor, whole: Tensor, precision: torch.dtype = torch.float32) -> Tensor:
        """What these rows add to the loss of the batch with the targets `whole`; 0 for no rows."""
        weights = whole.numel() if self.weights is None else self.weights.to(precision)[whole.flatten()].sum()
        return FUNCTIONS[self.name](self, outputs.to(precision), targets, "sum") / weights

    def weight(self, targets: Tensor) -> Tensor | int:
        """What a batch's mean weighs among others: its rows, or the sum of their classes' weights."""
        return len(targets) if self.weights is None else self.weights[targets.flatten()].sum()

    def shares(self, targets: Sequence[Tensor]) -> Tensor:
        """Of each batch in the mean over all rows of a step: float64 [batches]."""
        weights = vector([self.weight(y) for y in targets], targets[0].device)
        return weights / weights.sum()


def build_loss(training: Training, name: LossName, y: Tensor, classes: int) -> Loss:
    """The loss of a job; `y` are all training targets, for `class_weights: "balanced"`."""
    return Loss(name, classes, class_weights(training, y, classes), training.label_smoothing)


def class_weights(training: Training, y: Tensor, classes: int) -> Tensor | None:
    """float32 [classes]; a class that does not occur in training weighs 0 under `balanced`, for no row has it."""
    if training.class_weights is None:
        return None
    if training.class_weights != "balanced":
        return torch.tensor(training.class_weights, dtype=torch.float32, device=y.device)
    counts = y.flatten().bincount(minlength=classes).double()
    weights = torch.where(counts > 0, y.numel() / (classes * counts), 0.0)
    return weights.float()


def _cross_entropy(loss: Loss, logits: Tensor, classes: Tensor, reduction: str) -> Tensor:
    """In nats."""
    rows, truth = logits.flatten(0, -2), classes.flatten()
    weights = None if loss.weights is None else loss.weights.to(rows.dtype)
    return functional.cross_entropy(rows, truth, weight=weights, label_smoothing=loss.smoothing, reduction=reduction)


def _binary_cross_entropy(loss: Loss, logits: Tensor, classes: Tensor, reduction: str) -> Tensor:
    """In nats; a smoothed target is 1 - smoothing / 2 for its class."""
    flat, truth = logits.flatten(), classes.flatten()
    smoothed = truth.to(flat.dtype)
    if loss.smoothing:
        smoothed = smoothed * (1 - loss.smoothing) + loss.smoothing / 2
    if loss.weights is None:
        return functional.binary_cross_entropy_with_logits(flat, smoothed, reduction=reduction)
    weights = loss.weights.to(flat.dtype)[truth]
    total = functional.binary_cross_entropy_with_logits(flat, smoothed, weight=weights, reduction="sum")
    return total / weights.sum() if reduction == "mean" else total


FUNCTIONS: dict[LossName, Callable[[Loss, Tensor, Tensor, str], Tensor]] = {
    "cross_entropy": _cross_entropy,
    "binary_cross_entropy": _binary_cross_entropy,
    "mse": lambda _, outputs, targets, how: functional.mse_loss(outputs, targets, reduction=how),
    "huber": lambda _, outputs, targets, how: functional.huber_loss(outputs, targets, reduction=how),
    "mae": lambda _, outputs, targets, how: functional.l1_loss(outputs, targets, reduction=how),
}


def constant_loss(loss: Loss, y: Tensor) -> float:
    """The loss of the best constant predictor on these targets, scaled as the network sees them.

    Classes: the entropy of the (weighted, smoothed) shares of the classes, in nats. mse: the variance around each
    output's mean; mae: the mean distance from the median; huber: around the point where its derivative is 0.
    """
    if loss.name in ("cross_entropy", "binary_cross_entropy"):
        return _constant_entropy(loss, y.flatten())
    return CONSTANTS[loss.name](y.double().flatten(0, -2))


def _constant_entropy(loss: Loss, y: Tensor) -> float:
    """min over p of -sum_c a_c log p_c = -sum_c a_c log(a_c / sum a), with a as torch weights the classes."""
    weights = torch.ones(loss.classes, dtype=torch.float64) if loss.weights is None else loss.weights.double().cpu()
    weighted = y.bincount(minlength=loss.classes).cpu().double() * weights
    shares = weighted / weighted.sum()
    spread = weights * len(y) / weighted.sum() if loss.name == "cross_entropy" else torch.ones_like(weights)
    a = (1 - loss.smoothing) * shares + loss.smoothing / loss.classes * spread
    return float(-torch.special.xlogy(a, a / a.sum()).sum())


def _constant_mae(values: Tensor) -> float:
    return float((values - values.median(0).values).abs().mean())


def _constant_huber(values: Tensor) -> float:
    """Around the centre where the sum of clip(value - centre, -1, 1) is 0, found by bisection."""
    low, high = values.amin(0), values.amax(0)
    for _ in range(60):
        centre = (low + high) / 2
        above = (values - centre).clamp(-1, 1).sum(0) > 0
        low, high = torch.where(above, centre, low), torch.where(above, high, centre)
    return float(functional.huber_loss(((low + high) / 2).expand_as(values), values))


CONSTANTS: dict[LossName, Callable[[Tensor], float]] = {
    "mse": lambda values: float(values.var(0, correction=0).mean()),
    "mae": _constant_mae,
    "huber": _constant_huber,
}
