"""Where the time of a job went."""

import time
from collections.abc import Callable
from types import TracebackType


class Stopwatch:
    """Adds up seconds by name: `with stopwatch("training"): ...`."""

    def __init__(self, told: Callable[[str, float, float], None] | None = None) -> None:
        """`told` is called after each stretch, with its name, its beginning and its end (by the monotonic clock)."""
        self.told = told
        self.seconds: dict[str, float] = {}
        self.running: list[Lap] = []

    def __call__(self, name: str) -> "Lap":
        return Lap(self, name)

    def apart(self, name: str) -> "Lap":
        """A stretch that does not count for those under way."""
        return Lap(self, name, is_apart=True)

    def add(self, name: str, seconds: float) -> None:
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds

    def state(self) -> dict[str, float]:
        """Seconds by name, those of the stretches under way too."""
        so_far = Stopwatch()
        so_far.restore(self.seconds)
        for lap in self.running:
            so_far.add(lap.name, time.perf_counter() - lap.started)
        return so_far.seconds

    def restore(self, seconds: dict[str, float]) -> None:
        for name, passed in seconds.items():
            self.add(name, passed)


class Lap:
    """One stretch of time. A class, for a generator would take longer than what is measured at a sampled step."""

    def __init__(self, stopwatch: Stopwatch, name: str, is_apart: bool = False) -> None:
        self._stopwatch = stopwatch
        self._is_apart = is_apart
        self.name = name
        self.began = self.started = 0.0

    def __enter__(self) -> None:
        self._stopwatch.running.append(self)
        self.began = self.started = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        now = time.perf_counter()
        passed = now - self.started
        self._stopwatch.running.pop()
        self._stopwatch.add(self.name, passed)
        if self._stopwatch.told is not None:
            self._stopwatch.told(self.name, self.began, now)
        if self._is_apart:
            for lap in self._stopwatch.running:
                lap.started += passed


def timings(stopwatch: Stopwatch, steps: int) -> dict[str, float]:
    """Seconds by phase. `seconds_per_step` is of training alone, statistics included."""
    seconds = {name: stopwatch.seconds.get(name, 0.0) for name in ("starting", "training", "evaluating", "saving")}
    return seconds | {"steps": steps, "seconds_per_step": seconds["training"] / steps if steps else 0.0}


def statistics_cost(stopwatch: Stopwatch) -> float:
    """Seconds spent on statistics as a share of the seconds of training without them."""
    measured, training = (stopwatch.seconds.get(name, 0.0) for name in ("statistics", "training"))
    return measured / (training - measured) if training > measured else 0.0
