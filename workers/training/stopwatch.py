"""Where the time of a job went."""

import time
from types import TracebackType


class Stopwatch:
    """Adds up seconds by name: `with stopwatch("training"): ...`."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(self, name: str) -> "Lap":
        return Lap(self.seconds, name)


class Lap:
    """One stretch of time. A class, for a generator would take longer than what is measured at a sampled step."""

    def __init__(self, seconds: dict[str, float], name: str) -> None:
        self._seconds = seconds
        self._name = name

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        passed = time.perf_counter() - self._started
        self._seconds[self._name] = self._seconds.get(self._name, 0.0) + passed
