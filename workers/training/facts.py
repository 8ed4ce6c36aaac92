"""What is measured once of the data, as the network sees them: after scaling, from the training rows."""

import math
from collections.abc import Iterator
from functools import reduce
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.catalogue import DataShape
from models.reports import Facts
from workers.training.data import Prepared
from workers.training.parts import Part
from workers.training.probe import rows_of_probe
from workers.training.scale import FEATURE_AXES, Moments, moments, target_axes

MOST_ROWS = 20_000
"""Of the inputs; they lie evenly among the training rows."""
MOST_VALUES = 2**24
"""Likewise, where rows are long: so many take about a third of a second."""
ROWS_AT_ONCE = 256


def facts(data: Prepared, shape: DataShape, constants: dict[str, float], batch_size: int) -> Facts:
    """`constants`: loss of the best constant predictor on `training`, and on `validation` where there is that."""
    values: dict[str, Any] = {
        "rows": len(data.training),
        "constant_loss": constants["training"],
        "validation_constant_loss": constants.get("validation"),
        "probe_rows": rows_of_probe(data.training, batch_size),
        **of_inputs(data.training, shape),
        **of_targets(data.training, shape),
    }
    return Facts({name: _finite(value) for name, value in values.items()})


def of_inputs(part: Part, shape: DataShape) -> dict[str, float | None]:
    """Mean and root mean square over all values, and the least and largest standard deviation of features that vary: a
    channel of an image is one feature, and so is a feature of a sequence over all its time steps. Tokens have none."""
    if shape.kind == "tokens":
        names = ("input_mean", "input_rms", "feature_std_min", "feature_std_max", "input_nonfinite")
        return dict.fromkeys(names)
    nonfinite, found = 0, list[Moments]()
    with np.errstate(invalid="ignore", over="ignore"):
        for x in _evenly(part):
            nonfinite += int((~np.isfinite(x)).sum())
            found.append(moments(x, FEATURE_AXES[shape.kind]))
        features = reduce(Moments.__add__, found)
        deviations = np.sqrt(features.squares / features.count)
        mean_square = np.mean(np.square(features.mean) + np.square(deviations))
    varying = deviations[features.high > features.low]
    return {
        "input_mean": float(features.mean.mean()),
        "input_rms": math.sqrt(mean_square),
        "feature_std_min": float(varying.min()) if varying.size else None,
        "feature_std_max": float(varying.max()) if varying.size else None,
        "input_nonfinite": nonfinite,
    }


def _evenly(part: Part) -> Iterator[NDArray[Any]]:
    """x of at most MOST_ROWS, some rows at a time; those alone are read."""
    first, _ = next(part.batches(torch.zeros(1, dtype=torch.int64), 1, 1))
    rows = min(len(part), MOST_ROWS, max(1, MOST_VALUES // first.numel()))
    order = torch.arange(rows) * len(part) // rows
    for x, _ in part.batches(order, ROWS_AT_ONCE, math.ceil(rows / ROWS_AT_ONCE)):
        yield x.cpu().numpy()


def of_targets(part: Part, shape: DataShape) -> dict[str, Any]:
    """Of a regression mean, root mean square and standard deviation over all outputs, as trained on; of classes the
    count of each, where a row with a target at each time step counts as often."""
    if shape.task == "classification":
        return {"class_counts": part.y.flatten().bincount(minlength=len(shape.classes)).tolist()}
    y = part.y.cpu().numpy()
    outputs = moments(y, target_axes(y))
    deviations = np.sqrt(outputs.squares / outputs.count)
    return {
        "target_mean": float(outputs.mean.mean()),
        "target_rms": math.sqrt(np.mean(np.square(outputs.mean) + np.square(deviations))),
        "target_std": math.sqrt(np.mean(np.square(deviations))),
    }


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
