"""In which precision the forward pass computes."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Literal

import torch

from models.errors import DescentError

Precision = Literal["float32", "bfloat16", "auto"]


class PrecisionUnavailable(DescentError):
    """The device has no bfloat16."""


def autocast_of(precision: Precision, device: torch.device) -> Callable[[], AbstractContextManager[None]]:
    """What to wrap the forward pass in. Weights, gradients and losses stay float32.

    Raises:
        PrecisionUnavailable: bfloat16 is asked for on a GPU without it.
    """
    available = device.type == "cpu" or torch.cuda.is_bf16_supported(including_emulation=False)
    if precision == "bfloat16" and not available:
        raise PrecisionUnavailable("This GPU has no bfloat16.")
    if precision == "bfloat16" or (precision == "auto" and device.type == "cuda" and available):
        return partial(torch.autocast, device.type, torch.bfloat16)
    return nullcontext


def allow_tf32(precision: Precision) -> None:
    """On a GPU, `float32` computes with all 24 bits; what else is in float32 beside bfloat16 may use TF32's 11."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision != "float32"
