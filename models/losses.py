"""Which losses fit which targets, and how many numbers a network then has to give."""

import math
from dataclasses import replace
from typing import Literal, get_args

from models.catalogue import DataShape
from models.definitions.training import Training
from models.definitions.uploaded import Task

LossName = Literal["cross_entropy", "binary_cross_entropy", "mse", "huber", "mae"]

FITTING: dict[Task, tuple[LossName, ...]] = {
    "classification": ("cross_entropy", "binary_cross_entropy"),
    "regression": ("mse", "huber", "mae"),
}
"""The first is what `auto` means."""
assert {name for names in FITTING.values() for name in names} == set(get_args(LossName))


def loss_name(training: Training, data: DataShape) -> LossName:
    return FITTING[data.task][0] if training.loss == "auto" else training.loss


def least_loss(training: Training, data: DataShape) -> float:
    """Of a perfect network: the entropy of a smoothed target, in nats (Szegedy et al. 2016), else 0. Of weighted
    classes it is left at 0, the lower bound."""
    smoothing = training.label_smoothing
    if data.task == "regression" or not smoothing or training.class_weights is not None:
        return 0.0
    others = smoothing / len(data.classes)
    own = 1 - smoothing + others
    return -own * math.log(own) - (len(data.classes) - 1) * others * math.log(others)


def with_logits(data: DataShape, loss: LossName) -> DataShape:
    """The data as the network sees them: two classes are one logit under binary_cross_entropy, else two."""
    return replace(data, outputs=1) if loss == "binary_cross_entropy" else data
