"""Which steps are sampled: a pure function of the definition, so that a replay samples the same."""

from dataclasses import dataclass
from typing import Literal

FEWEST, MOST = 20, 2000
"""Samples of a job under `auto`: all steps where there are fewer than FEWEST, and about MOST where there are many."""
STEPS_PER_SAMPLE = 100
"""What `auto` aims at between the two. A sample costs no more than about one step, whatever the network: an optimizer
touches every parameter more often than a sample does, and a layer computes more than the norms of what it gives. So it
is about one step in a hundred, gradients alone a tenth of that (`python -m benchmarks --only statistics`)."""
FIRST_STEPS = 3
DENSE = 20
"""Steps that are all sampled where the end is open."""


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


@dataclass(frozen=True)
class OpenCadence:
    """For a job that may end long before its steps do: every step at first, then ever fewer, about DENSE / 2
    between a step and its double."""

    def takes(self, step: int) -> bool:
        return bool(step % (1 << (step // DENSE).bit_length()) == 0)


def cadence(steps: int, every_steps: int | Literal["auto"], is_open: bool = False) -> Cadence | OpenCadence:
    """The cadence of a job of so many steps. `auto` takes the first three and the last, and evenly between them; where
    the end is open, it takes fewer and fewer."""
    if every_steps != "auto":
        return Cadence(steps, every_steps)
    if is_open:
        return OpenCadence()
    samples = min(max(steps // STEPS_PER_SAMPLE, FEWEST), MOST)
    return Cadence(steps, max(1, steps // samples), FIRST_STEPS)
