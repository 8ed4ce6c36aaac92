"""Which steps are sampled: a pure function of the definition, so that a replay samples the same."""

from dataclasses import dataclass
from typing import Literal

FEWEST, MOST = 20, 2000
"""Samples of a job under `auto`: all steps where there are fewer than FEWEST, and about MOST where there are many."""
STEPS_PER_SAMPLE = 50
"""What `auto` aims at between the two."""
FIRST_STEPS = 3


@dataclass(frozen=True)
class Cadence:
    """Says of each step, counted from 0, whether it is sampled."""

    steps: int
    """Of the whole job."""
    interval: int
    ends: int = 0
    """So many steps at the start are all sampled, and then the last one too."""

    def takes(self, step: int) -> bool:
        at_the_ends = step < self.ends or (self.ends > 0 and step == self.steps - 1)
        return at_the_ends or step % self.interval == 0


def cadence(steps: int, every_steps: int | Literal["auto"]) -> Cadence:
    """The cadence of a job of so many steps. `auto` takes the first three and the last, and evenly between them."""
    if every_steps != "auto":
        return Cadence(steps, every_steps)
    samples = min(max(steps // STEPS_PER_SAMPLE, FEWEST), MOST)
    return Cadence(steps, max(1, steps // samples), FIRST_STEPS)
