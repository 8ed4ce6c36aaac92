"""How far a job is, and who is told."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from models.reports import FirstStep, Progress, Report
from workers.training.state import State

PROGRESS_SECONDS = 0.5


@dataclass
class Place:
    """How far a job is, over all its runs."""

    step: int = 0
    """Optimizer steps taken, those of pre-training too."""
    epoch: int = 0
    """Epochs completed."""
    run: int = 0
    """Which restart, from 0."""
    metrics: dict[str, Any] | None = None
    """Of the last epoch, with its `epoch`."""
    reported_at: float = field(default_factory=time.monotonic)
    first_step: int = 0
    """Steps that earlier attempts took."""
    first_step_at: float | None = None
    """When this attempt took its first."""

    def take_step(self, report: Callable[[Report], None]) -> None:
        """Counts an optimizer step; the job's first is reported, and then how far it is, now and then."""
        self.step += 1
        if self.first_step_at is None:
            self.first_step_at = time.monotonic()
            if self.step == 1:
                self.reported_at = self.first_step_at
                report(FirstStep(self.first_step_at))
                return
        self.tell(report)

    def tell(self, report: Callable[[Report], None]) -> None:
        """Reports how far it is, unless that was done a moment ago."""
        now = time.monotonic()
        if now - self.reported_at > PROGRESS_SECONDS:
            self.reported_at = now
            report(Progress(self.step, self._seconds_per_step(now), now))

    def state(self) -> State:
        return {"step": self.step, "epoch": self.epoch, "run": self.run, "metrics": self.metrics}

    def restore(self, state: State) -> None:
        self.step, self.epoch, self.run, self.metrics = (state[name] for name in ("step", "epoch", "run", "metrics"))
        self.first_step = self.step

    def _seconds_per_step(self, now: float) -> float | None:
        taken = self.step - self.first_step
        return (now - self.first_step_at) / taken if self.first_step_at is not None else None
