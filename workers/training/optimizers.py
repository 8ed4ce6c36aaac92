"""From the definition of an optimizer to torch's own; clipping of the gradient before its step."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch.nn import Parameter
from torch.optim import Optimizer

from models.definitions.training import Clip, Training

KINDS: dict[str, Callable[..., Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "adagrad": torch.optim.Adagrad,
}


def build_optimizer(training: Training, parameters: Iterable[Parameter]) -> Optimizer:
    """The optimizer of a job, over all parameters. Its options are named as torch names them."""
    options: dict[str, Any] = dict(training.optimizer)
    kind, rate = options.pop("kind"), options.pop("learning_rate")
    return KINDS[kind](parameters, lr=rate, weight_decay=training.weight_decay, **options)


def clip_gradients(clip: Clip, parameters: Sequence[Parameter]) -> None:
    """Bounds the gradients in place."""
    if clip.norm is not None:
        torch.nn.utils.clip_grad_norm_(parameters, clip.norm)
    elif clip.value is not None:
        torch.nn.utils.clip_grad_value_(parameters, clip.value)
