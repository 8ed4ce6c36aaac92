"""The last steps before something broke, as one chunk of the series `flight`."""

from collections.abc import Callable

from models.reports import Report, Sampled
from models.series import Chunk
from workers.training.guard import Guard
from workers.training.state import State


class FlightRecorder:
    """Tells what the guard remembers, once a run."""

    def __init__(self, guard: Guard, first_step: int, report: Callable[[Report], None]) -> None:
        """`first_step`: of the run, by the job's count."""
        self._guard = guard
        self._first_step = first_step
        self._report = report
        self._is_told = False

    def tell(self) -> None:
        """Where no step was taken yet, or it was told, nothing."""
        steps, values = self._guard.flight()
        if self._is_told or not len(steps):
            return
        self._is_told = True
        chunk = Chunk(steps + self._first_step, values[:, :, None])
        first, last = int(chunk.steps[0]), int(chunk.steps[-1])
        self._report(Sampled(first, last, len(steps), chunk.encode(), "flight"))

    def state(self) -> State:
        return {"is_told": self._is_told}

    def restore(self, state: State) -> None:
        self._is_told = state["is_told"]
