"""torchmortem 0.1: github.com/sebseager/torchmortem, `detectors/*.py` with default arguments. Its detectors of rank and
curvature are left out, for nothing of the kind is recorded."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from benchmarks.diagnosis.peers.alarm import DEAD, EXPLODING, INITIAL, TOO_SLOW, UNSTABLE, VANISHING, Alarm, only
from benchmarks.diagnosis.peers.measured import Values, kernels, layers, losses, tensors
from models.diagnosis.evidence import Evidence
from models.diagnosis.finding import Code


def torchmortem(evidence: Evidence) -> Iterator[Alarm]:
    """Its findings of severity warning or worse; gradients are those of the weights, not of the layers' outputs."""
    with np.errstate(all="ignore"):
        yield from _gradients(tensors(evidence, "norm")[:, kernels(evidence)])
        yield from _updates(tensors(evidence, "update_ratio")[1:, kernels(evidence)])
        yield from _weights(tensors(evidence, "weight_norm")[:, kernels(evidence)])
    if (_late(layers(evidence, "dead") > 0.5) >= 0.5).any():
        yield Alarm("dead_units", DEAD)
    if (_late(layers(evidence, "saturation") < 0.1) >= 0.5).any():
        yield Alarm("saturation", only(Code.SATURATED))
    yield from _loss_dynamics(losses(evidence))


def _gradients(norms: Values) -> Iterator[Alarm]:
    late = norms[len(norms) // 2 :]
    if len(late) and norms.shape[1] > 1:
        means = late.mean(0)
        if means[-1] / means[0] >= 100:
            yield Alarm("gradient_flow: vanishing", VANISHING)
        if (norms > 1000).any():
            yield Alarm("gradient_flow: exploding", EXPLODING)
        if ((norms < 1e-8).mean(0) >= 0.3).any():
            yield Alarm("gradient_flow: stalled", VANISHING | {Code.STALLED, Code.CONSTANT_INIT} | DEAD)
    if len(norms) >= 20 and np.mean(late.mean(0) / late.std(0)) < 1:
        yield Alarm("gradient_noise", UNSTABLE)


def _updates(ratios: Values) -> Iterator[Alarm]:
    if not len(ratios):
        return
    medians = np.median(ratios[len(ratios) // 2 :], axis=0)
    if (medians < 1e-5).any():
        yield Alarm("update_ratio: low", TOO_SLOW | VANISHING)
    if (medians > 0.1).any():
        yield Alarm("update_ratio: high", only(Code.LEARNING_RATE_TOO_HIGH) | EXPLODING)


def _weights(norms: Values) -> Iterator[Alarm]:
    if len(norms) < 4 or not norms.shape[1]:
        return
    growth = norms[-1] / norms[0]
    if (growth > 10).any():
        yield Alarm("weight_norm: explosion", EXPLODING | {Code.LEARNING_RATE_TOO_HIGH})
    if (np.abs(growth - 1) < 1e-4).any():
        yield Alarm("weight_norm: stagnation", TOO_SLOW | VANISHING)
    if norms[-1].max() / norms[-1].min() >= 100:
        yield Alarm("weight_norm: imbalance", INITIAL)


def _late(hits: NDArray[np.bool_]) -> Values:
    """How often, in the second half, by column."""
    late = hits[len(hits) // 2 :]
    return late.mean(0) if len(late) else np.zeros(hits.shape[1])


def _loss_dynamics(values: Values) -> Iterator[Alarm]:
    if len(values) < 10:
        return
    window = values[-min(20, len(values) // 2) :]
    if len(window) >= 5 and (np.diff(window) > 0).mean() >= 0.8 and window[-1] >= 1.5 * window[0]:
        yield Alarm("loss_dynamics: divergence", EXPLODING | UNSTABLE)
    late = values[len(values) // 2 :]
    windows = [late[at : at + 20] for at in range(len(late) - 19)]
    if any(np.ptp(each) < 1e-5 * abs(each.mean()) for each in windows):
        yield Alarm("loss_dynamics: plateau", TOO_SLOW)
