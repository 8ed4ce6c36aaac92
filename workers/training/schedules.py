"""The learning rate of each step: pure functions of the step, but for `plateau`, which remembers the best loss."""

import math
from collections.abc import Callable
from typing import Any

from models.definitions.training import (
    ConstantSchedule,
    CosineSchedule,
    OneCycleSchedule,
    PlateauSchedule,
    StepSchedule,
    Training,
)
from workers.training.state import State

LEAST_IMPROVEMENT = 1e-4
"""Of `plateau`, as a share of the best loss."""
FINAL_DIVISOR = 1e4
"""`one_cycle` ends at the rate divided by this."""


class Schedule:
    """`rate(step)` before each step, `end_epoch(validation_loss)` after each epoch."""

    def __init__(self, training: Training, steps: int, steps_per_epoch: int) -> None:
        self._base = training.optimizer.learning_rate
        self._warmup = training.schedule.warmup_steps
        self._factor = FACTORS[training.schedule.kind](training.schedule, steps, steps_per_epoch)
        self._plateau = Plateau(training.schedule) if isinstance(training.schedule, PlateauSchedule) else None

    def rate(self, step: int) -> float:
        """Learning rate of an optimizer step, counted from 0."""
        warmed = min(1.0, (step + 1) / self._warmup) if self._warmup else 1.0
        fallen = self._plateau.factor if self._plateau else 1.0
        return self._base * self._factor(step) * warmed * fallen

    def end_epoch(self, validation_loss: float) -> None:
        if self._plateau:
            self._plateau.see(validation_loss)

    def state(self) -> State:
        return self._plateau.state() if self._plateau else {}

    def restore(self, state: State) -> None:
        if self._plateau:
            self._plateau.restore(state)


class Plateau:
    """As `torch.optim.lr_scheduler.ReduceLROnPlateau`, with its relative threshold of 1e-4."""

    def __init__(self, schedule: PlateauSchedule) -> None:
        self.factor = 1.0
        self._schedule = schedule
        self._best = math.inf
        self._waited = 0

    def see(self, loss: float) -> None:
        if loss < self._best * (1 - LEAST_IMPROVEMENT):
            self._best, self._waited = loss, 0
        else:
            self._waited += 1
        if self._waited > self._schedule.patience:
            self.factor *= self._schedule.factor
            self._waited = 0

    def state(self) -> State:
        return {"factor": self.factor, "best": self._best, "waited": self._waited}

    def restore(self, state: State) -> None:
        self.factor, self._best, self._waited = (state[name] for name in ("factor", "best", "waited"))


Factor = Callable[[int], float]


def _constant(schedule: ConstantSchedule | PlateauSchedule, steps: int, steps_per_epoch: int) -> Factor:
    return lambda step: 1.0


def _step(schedule: StepSchedule, steps: int, steps_per_epoch: int) -> Factor:
    return lambda step: float(schedule.factor ** (step // steps_per_epoch // schedule.every))


def _cosine(schedule: CosineSchedule, steps: int, steps_per_epoch: int) -> Factor:
    return lambda step: _between(1.0, schedule.final_factor, min(step / steps, 1.0))


def _one_cycle(schedule: OneCycleSchedule, steps: int, steps_per_epoch: int) -> Factor:
    """As `torch.optim.lr_scheduler.OneCycleLR`: the peak lies at step warmup_share x steps - 1."""
    peak = schedule.warmup_share * steps - 1

    def factor(step: int) -> float:
        if step <= peak:
            return _between(1.0, schedule.peak_factor, step / peak if peak > 0 else 1.0)
        falling = steps - 1 - peak
        return _between(schedule.peak_factor, 1 / FINAL_DIVISOR, min((step - peak) / falling, 1.0))

    return factor


def _between(start: float, end: float, share: float) -> float:
    """Half a cosine from one to the other."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


FACTORS: dict[str, Callable[[Any, int, int], Factor]] = {
    "constant": _constant,
    "step": _step,
    "cosine": _cosine,
    "one_cycle": _one_cycle,
    "plateau": _constant,
}
