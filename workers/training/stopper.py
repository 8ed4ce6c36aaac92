"""What ends a run before its epochs do."""

import math
from collections.abc import Callable

from models.definitions.training import Training
from workers.training.state import State

REASONS = {
    "max_steps": "the steps of max_steps are taken",
    "max_seconds": "the seconds of max_seconds are over",
    "patience": "the validation loss has not been better for {patience} epochs",
    "tolerance": "the loss of two successive epochs differs by less than {tolerance:g}",
}


def reason_of(stopped: str | None, training: Training) -> str | None:
    """In words, for `status_reason`."""
    stop = training.stop
    return REASONS[stopped].format(**dict(stop) if stop else {}) if stopped in REASONS else None


class Stopper:
    """Budgets in steps and seconds, early stopping, convergence."""

    def __init__(self, training: Training, steps: int, out_of_time: Callable[[], bool]) -> None:
        """`out_of_time`: whether the seconds are over."""
        self._training = training
        self._steps = steps
        self._out_of_time = out_of_time
        self._best = math.inf
        self._waited = 0
        self._last_loss: float | None = None

    def out_of_budget(self, taken: int) -> bool:
        """Whether no step is left after so many."""
        return taken >= self._steps or self._out_of_time()

    def after_epoch(self, metrics: dict[str, float | None], taken: int) -> str | None:
        """Why to stop after this epoch, or None."""
        stop = self._training.stop
        if stop is not None and stop.patience is not None:
            loss = metrics["validation_loss"]
            better = loss is not None and loss < self._best - stop.min_delta
            self._best = loss if better and loss is not None else self._best
            self._waited = 0 if better else self._waited + 1
            if self._waited >= stop.patience:
                return "patience"
        before, self._last_loss = self._last_loss, metrics["train_loss"]
        if stop is not None and stop.tolerance is not None and _close(before, self._last_loss, stop.tolerance):
            return "tolerance"
        if self._out_of_time():
            return "max_seconds"
        most = self._training.max_steps
        return "max_steps" if most is not None and taken >= most else None

    def state(self) -> State:
        return {"best": self._best, "waited": self._waited, "last_loss": self._last_loss}

    def restore(self, state: State) -> None:
        self._best, self._waited, self._last_loss = (state[name] for name in ("best", "waited", "last_loss"))


def _close(before: float | None, now: float | None, tolerance: float) -> bool:
    return before is not None and now is not None and abs(now - before) < tolerance
