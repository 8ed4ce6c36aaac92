"""How well cheap models do on the same data: what a network fails at that they can do is the network's own failure.

    reference_skills(prepared, shape, "mse")
    # {"linear": {"train_skill": 0.95, "validation_skill": 0.91}, "neighbours": {...}}

`linear` is ridge regression, or a softmax regression with an L2 penalty; `neighbours` are the 10 nearest rows. In
double on the CPU: 0.1 s on the digits, 3 to 4 s on long rows, of which it takes 2 000 of 1 024 features. The skill is
1 - loss / loss of the best constant, with the job's loss of a regression, or the cross entropy in nats. Draws from no
global generator.

With about as many features as rows a softmax regression learns noise by heart, as a network could: its skill in
training says what can be fitted, the one in validation what can be known. Neighbours never see the row itself.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from models.catalogue import DataShape
from models.definitions.uploaded import Task
from models.losses import LossName
from workers.training.cheap_models import Model, neighbours_mean, neighbours_shares, ridge, softmax_regression
from workers.training.data import Prepared
from workers.training.losses import Loss, constant_loss
from workers.training.metrics import skill
from workers.training.parts import Part

TRAINING_ROWS, VALIDATION_ROWS = 2000, 1000
FEATURES = 1024
"""Of more, so many random projections are taken, which keep distances (Johnson and Lindenstrauss 1984)."""
ONE_HOT_VALUES = 4096
"""Of a row of tokens, up to which each place has its own; beyond it tokens are counted, whatever their place."""
MOST_OUTPUTS = 4096
"""Numbers to predict of a row; with more a linear model is not cheap."""

MODELS: dict[Task, dict[str, Model]] = {
    "classification": {"linear": softmax_regression, "neighbours": neighbours_shares},
    "regression": {"linear": ridge, "neighbours": neighbours_mean},
}
Skills = dict[str, float | None]


@dataclass(frozen=True)
class Sample:
    """Some rows."""

    x: Tensor
    """float64 [rows, features]"""
    y: Tensor
    """As in a part: classes int64, else float64."""


def reference_skills(data: Prepared, shape: DataShape, loss_name: LossName) -> dict[str, Skills]:
    """By model its `train_skill` and `validation_skill`; that of the neighbours in training is of rows left out. None
    where there is no validation part, or where a constant is perfect; no model at all where a row has many targets."""
    if data.training.y[0].numel() * max(1, len(shape.classes)) > MOST_OUTPUTS:
        return {}
    training = _sample(data.training, shape, TRAINING_ROWS)
    validation = _sample(data.validation, shape, VALIDATION_ROWS) if data.validation is not None else None
    # Classes are judged one way, for their weights, smoothing and number of logits are none of these models'.
    loss = Loss("cross_entropy", len(shape.classes)) if shape.task == "classification" else Loss(loss_name)
    return {name: _skills(model, training, validation, loss) for name, model in MODELS[shape.task].items()}


def _skills(model: Model, training: Sample, validation: Sample | None, loss: Loss) -> Skills:
    others = training if validation is None else validation
    x, x_of_others = _standardised(training.x, others.x)
    outputs, of_others = model(x, training.y.view(len(x), -1), x_of_others, loss.classes)
    validated = None if validation is None else _skill(of_others, validation.y, loss)
    return {"train_skill": _skill(outputs, training.y, loss), "validation_skill": validated}


def _skill(outputs: Tensor, y: Tensor, loss: Loss) -> float | None:
    outputs = outputs if loss.classes else outputs.view_as(y)
    reached = float(loss.part(outputs, y, y, torch.float64))
    found = skill(reached, constant_loss(loss, y))
    return found if found is not None and math.isfinite(found) else None


def _sample(part: Part, shape: DataShape, most: int) -> Sample:
    """Rows that lie evenly among those of a part."""
    rows = min(len(part), most)
    x, y = next(part.batches(torch.arange(rows) * len(part) // rows, rows, 1))
    y = y.cpu()
    return Sample(_projected(_features(x.cpu(), shape)), y if shape.task == "classification" else y.double())


def _features(x: Tensor, shape: DataShape) -> Tensor:
    """float64 [rows, features]"""
    if shape.kind != "tokens":
        return torch.nan_to_num(x.flatten(1).double(), posinf=0.0, neginf=0.0)
    if x.shape[1] * shape.vocabulary <= ONE_HOT_VALUES:
        one_hot: Tensor = functional.one_hot(x, shape.vocabulary)
        return one_hot.flatten(1).double()
    counts = torch.zeros(len(x), shape.vocabulary, dtype=torch.float64)
    counts.scatter_add_(1, x, torch.ones(x.shape, dtype=torch.float64))
    return counts


def _projected(x: Tensor) -> Tensor:
    """At most FEATURES of them; the same projection of all rows."""
    features = x.shape[1]
    if features <= FEATURES:
        return x
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(features, FEATURES, generator=generator, dtype=torch.float64) / FEATURES**0.5
    projected: Tensor = x @ directions
    return projected


def _standardised(x: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Both with the scale that gives the features of x the mean 0 and the deviation 1."""
    mean, deviation = x.mean(0), x.std(0, correction=0)
    factor = torch.where(deviation > 0, deviation, 1.0)
    return (x - mean) / factor, (others - mean) / factor
