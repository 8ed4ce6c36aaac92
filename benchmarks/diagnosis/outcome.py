"""What a run of a job came to."""

import math
from dataclasses import dataclass

LOST = -1.0
"""Skill of a run that diverged; none counts as worse."""


@dataclass(frozen=True)
class Outcome:
    """Of one definition with one seed."""

    epochs: dict[str, list[float]]
    """By the names of `models.metrics.METRICS`, one number an epoch; NaN where there is none."""
    seconds: float
    """Of the processor, everything included."""
    steps: int
    """Planned."""
    error: str | None = None
    """What ended it before its time."""
    cost: float = math.nan
    """Seconds spent on statistics / seconds of training."""

    @property
    def skills(self) -> list[float]:
        """Validation skill by epoch, none below LOST; NaN is LOST."""
        return [LOST if math.isnan(skill) else max(skill, LOST) for skill in self.epochs.get("validation_skill", [])]

    @property
    def final(self) -> float:
        """Validation skill in the end; a job that ended by an error has none left."""
        if not self.skills:
            return LOST
        return min(self.skills[-1], 0.0) if self.error else self.skills[-1]

    @property
    def best(self) -> float:
        """Of its best epoch."""
        return max(self.skills, default=LOST)
