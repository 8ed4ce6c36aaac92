"""A symptom that a tool reports, and what it could stand for in our words."""

from dataclasses import dataclass

from models.diagnosis.finding import Code


@dataclass(frozen=True)
class Alarm:
    """One symptom that a tool reports."""

    symptom: str
    codes: frozenset[Code]
    """Ours that it could stand for."""


EXPLODING = frozenset({Code.EXPLODING_DEPTH, Code.EXPLODING_TIME, Code.NONFINITE})
VANISHING = frozenset({Code.VANISHING_DEPTH, Code.VANISHING_TIME})
DEAD = frozenset({Code.DEAD_AT_INIT, Code.DYING_UNITS})
UNSTABLE = frozenset({Code.LEARNING_RATE_TOO_HIGH, Code.BATCH_TOO_SMALL})
TOO_SLOW = frozenset({Code.LEARNING_RATE_TOO_LOW, Code.SLOW, Code.PLATEAU, Code.STALLED})
INITIAL = frozenset({Code.CONSTANT_INIT, Code.VANISHING_DEPTH, Code.EXPLODING_DEPTH, Code.SATURATED})


def only(code: Code) -> frozenset[Code]:
    return frozenset({code})
