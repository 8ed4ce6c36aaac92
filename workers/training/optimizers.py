"""From the definition of an optimizer to torch's own."""

from collections.abc import Callable, Iterable

import torch
from torch.nn import Parameter
from torch.optim import Optimizer

from models.definitions.training import Adam, AdamW, Sgd, Training

Parameters = Iterable[Parameter]


def build_optimizer(training: Training, parameters: Parameters) -> Optimizer:
    """The optimizer of a job, over all parameters."""
    return BUILDERS[type(training.optimizer)](training, parameters)


def _sgd(training: Training, parameters: Parameters) -> Optimizer:
    chosen = training.optimizer
    assert isinstance(chosen, Sgd)
    return torch.optim.SGD(
        parameters, chosen.learning_rate, momentum=chosen.momentum, weight_decay=training.weight_decay
    )


def _adam(training: Training, parameters: Parameters) -> Optimizer:
    return torch.optim.Adam(parameters, training.optimizer.learning_rate, weight_decay=training.weight_decay)


def _adamw(training: Training, parameters: Parameters) -> Optimizer:
    return torch.optim.AdamW(parameters, training.optimizer.learning_rate, weight_decay=training.weight_decay)


BUILDERS: dict[type, Callable[[Training, Parameters], Optimizer]] = {Sgd: _sgd, Adam: _adam, AdamW: _adamw}
