"""From a data set's arrays to parts ready to train on: split by `data.seed`, scaled by the training part alone."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.catalogue import DataShape
from models.definitions.data import Data
from workers.datasets.arrays import Arrays
from workers.datasets.uploaded import LastSteps, Rows
from workers.training.parts import Mapped, Part, Resident, dtype_of, rows_of
from workers.training.scale import FEATURE_AXES, Scale, TargetScale, fit, target_axes, target_scale
from workers.training.split import Indices, cut, mislabelled, split


@dataclass(frozen=True)
class Prepared:
    """What a job trains and validates on."""

    training: Part
    validation: Part | None
    target: TargetScale
    inputs: Scale | None = None
    """How x was scaled; None: not at all."""


def prepare(
    data: Data,
    arrays: Arrays,
    shape: DataShape,
    device: torch.device,
    resident_bytes: float = math.inf,
    told: Callable[[], None] = lambda: None,
    validating: Arrays | None = None,
) -> Prepared:
    """The parts of a data set, or of that and one for validation. The same definition gives the same bits, also where x
    stays mapped for its size.

    `told` is called every few milliseconds: data may be large, and someone may wait.
    """
    x, y = inputs_of(data, arrays), np.asarray(arrays.y)
    training, held_out = split(data, y, shape.task, arrays.order)
    training = cut(data, training, y, shape.task)
    inputs = None if shape.kind == "tokens" else fit(x, training, FEATURE_AXES[shape.kind], data.normalise, told)
    targets = fit(y, training, target_axes(y), data.normalise) if shape.task == "regression" else None
    others = len(held_out) if validating is None else len(validating.y)
    kept = (len(training) + others) * math.prod(x.shape[1:]) * dtype_of(x, inputs).itemsize
    resident = kept <= limit_on(device, resident_bytes)

    def part(x: NDArray[Any], y: NDArray[Any], rows: Indices, targets_of: Indices) -> Part:
        truth = rows_of(y, targets_of, targets).to(device)
        if resident:
            return Resident(y=truth, x=rows_of(x, rows, inputs, told=told).to(device), rows=rows)
        return Mapped(y=truth, source=x, rows=rows, scale=inputs)

    trained = part(x, y, training, mislabelled(data, training))
    if validating is not None:
        x, y, held_out = inputs_of(data, validating), np.asarray(validating.y), np.arange(len(validating.y))
    validated = part(x, y, held_out, held_out) if len(held_out) else None
    return Prepared(trained, validated, target_scale(targets, device), inputs)


def inputs_of(data: Data, arrays: Arrays) -> Any:
    """x as the job takes it."""
    if data.features == "last":
        return LastSteps(arrays.x) if isinstance(arrays.x, Rows) else np.asarray(arrays.x[:, -1])
    return arrays.x if isinstance(arrays.x, Rows) else np.asarray(arrays.x)


def limit_on(device: torch.device, resident_bytes: float) -> float:
    """Most bytes of x to hold: on a GPU no more than half of what is free there, for the network needs room too."""
    if device.type != "cuda":
        return resident_bytes
    free, _ = torch.cuda.mem_get_info(device)
    return min(resident_bytes, free // 2)
