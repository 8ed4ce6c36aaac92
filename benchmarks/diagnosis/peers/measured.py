"""What the rules of peers are about, out of the evidence of a job."""

import numpy as np
from numpy.typing import NDArray

from models.diagnosis.evidence import Evidence

Values = NDArray[np.float64]


def tensors(evidence: Evidence, statistic: str) -> Values:
    return evidence.samples["tensors"].of(statistic)


def layers(evidence: Evidence, statistic: str) -> Values:
    return evidence.samples["layers"].of(statistic)


def kernels(evidence: Evidence) -> list[int]:
    """Columns of weights, biases and norms aside."""
    shapes = [tensor.shape for tensor in evidence.architecture.tensors]
    chosen = [index for index, shape in enumerate(shapes) if len(shape) > 1]
    return chosen if evidence.samples["tensors"].values.shape[2] == len(shapes) else []


def first_and_last(evidence: Evidence) -> tuple[Values, Values]:
    norms = tensors(evidence, "norm")[:, kernels(evidence)]
    return (norms[:, 0], norms[:, -1]) if norms.shape[1] else (np.empty(0), np.empty(0))


def zero_share(evidence: Evidence) -> Values:
    """Of all elements of the gradient, by sample."""
    zeros = tensors(evidence, "zeros")
    if not zeros.size:
        return np.empty(0)
    counts = np.array([tensor.count for tensor in evidence.architecture.tensors], float)
    shares: Values = zeros @ counts / counts.sum()
    return shares


def nonfinite(evidence: Evidence) -> bool:
    parts = (evidence.epochs["train_loss"], evidence.epochs["validation_loss"])
    broken = any((~np.isfinite(part)).any() for part in parts)
    return evidence.incident is not None or broken or bool((tensors(evidence, "nonfinite") > 0).any())


def accuracy(evidence: Evidence, part: str) -> Values:
    measured = evidence.epochs[f"{part}_accuracy"]
    if not np.isnan(measured).all():
        return measured
    return evidence.epochs["skill" if part == "train" else "validation_skill"]


def most(values: Values) -> float:
    return float(values.max(initial=-1.0))


def losses(evidence: Evidence) -> Values:
    """Of the sampled steps where they are recorded, else of the epochs."""
    sampled = evidence.samples["steps"].of("loss")
    chosen = sampled[:, 0] if sampled.size else evidence.epochs["train_loss"]
    return chosen[np.isfinite(chosen)]


def swings(accuracy: Values, size: float) -> int:
    """How often a local maximum is above its local minimum by so much."""
    middle, before, after = accuracy[1:-1], accuracy[:-2], accuracy[2:]
    highs = middle[(middle >= before) & (middle >= after)]
    lows = middle[(middle <= before) & (middle <= after)]
    return int(sum(high - low >= size for high, low in zip(highs, lows, strict=False)))
