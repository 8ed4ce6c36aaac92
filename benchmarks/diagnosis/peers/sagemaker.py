"""SageMaker Debugger: 'List of Debugger built-in rules' (docs.aws.amazon.com), those for deep learning with default
parameters. Its code is not public."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from benchmarks.diagnosis.peers.alarm import DEAD, EXPLODING, INITIAL, TOO_SLOW, UNSTABLE, VANISHING, Alarm, only
from benchmarks.diagnosis.peers.measured import kernels, layers, losses, nonfinite, tensors
from models.diagnosis.evidence import Evidence
from models.diagnosis.finding import Code


def sagemaker(evidence: Evidence) -> Iterator[Alarm]:
    """Every rule on every sample; one is enough. Its mean |g| is 0.8 of the root mean square, as of a normal one."""
    if nonfinite(evidence):
        yield Alarm("ExplodingTensor", EXPLODING)
    norms = tensors(evidence, "norm")
    if len(norms):
        counts = np.array([tensor.count for tensor in evidence.architecture.tensors])
        if (0.8 * norms / np.sqrt(counts) < 1e-7).any():
            yield Alarm("VanishingGradient", VANISHING)
        if (tensors(evidence, "zeros") >= 1).any():
            yield Alarm("AllZero", DEAD | {Code.STALLED, Code.CONSTANT_INIT})
        ratios = tensors(evidence, "update_ratio")[:, kernels(evidence)]  # biases begin at 0
        if (ratios > 10).any():
            yield Alarm("WeightUpdateRatio, large", only(Code.LEARNING_RATE_TOO_HIGH) | EXPLODING)
        if (ratios < 1e-8).any():
            yield Alarm("WeightUpdateRatio, small", TOO_SLOW | VANISHING)
    if any(after > before * (1 - 0.001) for before, after in pairwise(losses(evidence))):
        yield Alarm("LossNotDecreasing", TOO_SLOW | UNSTABLE)
    train, validation = evidence.epochs["train_loss"], evidence.epochs["validation_loss"]
    with np.errstate(all="ignore"):
        if ((validation - train) / np.abs(train) > 0.1).any():
            yield Alarm("Overfit", only(Code.OVERFIT))
    if (layers(evidence, "dead") > 0.5).any():
        yield Alarm("DeadRelu", DEAD)
    if (layers(evidence, "saturation") < 0.05).any():
        yield Alarm("SaturatedActivation", only(Code.SATURATED))
    first = layers(evidence, "activation_rms")[:1]
    if (first < 0.001).any():
        yield Alarm("PoorWeightInitialization", INITIAL | DEAD)
