"""UMLAUT: Schoop et al., CHI 2021; github.com/BerkeleyHCI/umlaut, `umlaut/heuristics.py`."""

from collections.abc import Iterator

import numpy as np

from benchmarks.diagnosis.peers.alarm import Alarm, only
from benchmarks.diagnosis.peers.measured import accuracy
from models.diagnosis.evidence import Evidence
from models.diagnosis.finding import Code


def umlaut(evidence: Evidence) -> Iterator[Alarm]:
    """Standardised features leave [-1, 1]; of others the root mean square is taken for the range."""
    data, network, training = evidence.definition.data, evidence.definition.network, evidence.definition.training
    rms = evidence.facts.get("input_rms")
    if data.normalise == "standard" or (data.normalise == "none" and (rms is None or rms > 1)):
        yield Alarm("InputNotNormalized", only(Code.UNNORMALISED_INPUT))
    if training.optimizer.learning_rate > 0.01:
        yield Alarm("LRHigh", only(Code.LEARNING_RATE_TOO_HIGH))
    if training.optimizer.learning_rate < 1e-7:
        yield Alarm("LRLow", only(Code.LEARNING_RATE_TOO_LOW))
    train, validation = evidence.epochs["train_loss"], evidence.epochs["validation_loss"]
    if np.isnan(train).any() or evidence.incident is not None:
        yield Alarm("NaNInLoss", only(Code.NONFINITE))
    if ((np.diff(validation) > 0) & (np.diff(train) <= 0)).any():
        yield Alarm("Overfitting", only(Code.OVERFIT))
    if network.output in ("sigmoid", "softmax"):
        yield Alarm("FinalLayerHasActivation", only(Code.WRONG_OUTPUT))
    late = accuracy(evidence, "validation")[3:]
    if (late > 0.95).any() or (late - accuracy(evidence, "train")[3:] > 0.05).any():
        yield Alarm("OverconfidentValAccuracy", frozenset())
