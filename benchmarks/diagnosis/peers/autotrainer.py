"""AutoTrainer: Zhang et al., ICSE 2021; github.com/shiningrain/AUTOTRAINER, `utils/monitor.py`, with the parameters
of the paper. Accuracy of a regression is its skill."""

from collections.abc import Iterator

import numpy as np

from benchmarks.diagnosis.peers.alarm import DEAD, EXPLODING, TOO_SLOW, UNSTABLE, VANISHING, Alarm
from benchmarks.diagnosis.peers.measured import accuracy, first_and_last, most, nonfinite, swings, zero_share
from models.diagnosis.evidence import Evidence


def autotrainer(evidence: Evidence) -> Iterator[Alarm]:
    """Judged at the end; its order of precedence."""
    if nonfinite(evidence):
        yield Alarm("explode", EXPLODING)
        return
    train, validation = accuracy(evidence, "train"), accuracy(evidence, "validation")
    gains = [np.diff(each).max(initial=0.0) for each in (train, validation)]
    is_slow = max(gains) < 0.01
    if min(most(train), most(validation)) < 0.7 or is_slow:
        if (zero_share(evidence) >= 0.7).any():
            yield Alarm("dying relu", DEAD)
            return
        first, last = first_and_last(evidence)
        with np.errstate(all="ignore"):
            ratio = first / last
        if (ratio > 70).any():
            yield Alarm("explode", EXPLODING)
        elif ((ratio < 1e-3) & (first < 1e-4)).any():
            yield Alarm("vanish", VANISHING)
        elif is_slow:
            yield Alarm("slow convergence", TOO_SLOW)
    elif swings(train, 0.03) >= 0.2 * len(train):
        yield Alarm("oscillating loss", UNSTABLE)
