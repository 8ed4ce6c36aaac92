"""`weights.safetensors`: the weights of the best epoch, and how inputs and targets are scaled.

Equal weights give an equal file, byte for byte: no ids or times are inside.
"""

import torch
from torch import Tensor

from workers.training.model import Model, contiguous

SCALES = "scales."
"""Begins the names of what is no weight."""


def weights_file(model: Model) -> bytes:
    """Names as `state_dict` has them; beside them `scales.input.offset` and so on, float64: (value - offset) / factor
    is what the network sees, and output * factor + offset what it means."""
    from safetensors.torch import save  # noqa: PLC0415  0.1 s that only exports need

    return save({name: contiguous(value) for name, value in (model.weights | scales(model)).items()})


def scales(model: Model) -> dict[str, Tensor]:
    """Those that there are: of inputs that are normalised, and of the targets of a regression."""
    found: dict[str, Tensor] = {}
    if model.inputs is not None:
        found |= {f"{SCALES}input.{name}": torch.from_numpy(value) for name, value in vars(model.inputs).items()}
    if model.shape.task == "regression":
        found |= {f"{SCALES}target.{name}": value for name, value in vars(model.targets).items()}
    return found
