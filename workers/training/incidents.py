"""What becomes of a step that is not finite: found, reported, and met as the policy `nonfinite` says."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from models.definitions.job import Policy
from models.reports import Incident, Report
from models.shapes import Architecture
from workers.training.flight import FlightRecorder
from workers.training.forensics import Found, first_nonfinite
from workers.training.parts import Batch
from workers.training.ranks import Ranks
from workers.training.rescue import MOST_ROLLBACKS, Rescue
from workers.training.state import State
from workers.training.step import EagerStep

MOST_ROWS = 1000
"""Indices that are named."""


@dataclass(frozen=True)
class Failure:
    """Why a policy ends a job."""

    code: str
    """Of the finding."""
    detail: str
    """In whole sentences."""


@dataclass(frozen=True)
class Scene:
    """A step that was not finite."""

    step: int
    """Of the job."""
    epoch: int
    """Epochs completed before."""
    batches: Callable[[], list[Batch]]
    rows: Callable[[], list[int]]
    """Where those of the batches are in the data set. To find them takes a permutation of all rows."""
    drawn_from: State | None
    """The random state before it, if it is known."""


class Incidents:
    """Those of one run."""

    def __init__(
        self,
        policy: Policy,
        step: EagerStep,
        architecture: Architecture,
        rescue: Rescue,
        flight: FlightRecorder,
        report: Callable[[Report], None],
        keep_checkpoint: Callable[[], str | None],
        ranks: Ranks,
    ) -> None:
        """`keep_checkpoint`: keeps one from before, and gives its name."""
        self.policy = policy
        self._step, self._architecture, self._rescue, self._flight = step, architecture, rescue, flight
        self._report, self._keep_checkpoint, self._ranks = report, keep_checkpoint, ranks
        self._first: Incident | None = None
        self._words = ""
        self._count, self._told = 0, 0

    def meet(self, scene: Scene) -> Failure | None:
        """Of the first, says where it began; then goes back, goes on, or gives why the job ends."""
        guard = self._step.guard
        is_first = self._first is None
        if self._first is None:
            self._flight.tell()
            found = self._found(scene)
            self._words = found.words
            rows, checkpoint = scene.rows()[:MOST_ROWS], self._keep_checkpoint()
            where = found.place, found.layer, found.tensor, found.kind
            self._first = Incident(scene.step, scene.epoch, *where, rows, self.policy, checkpoint)
        guard.tripped = False
        if self.policy == "continue":
            if is_first:
                self.tell(guard.count)
            return None
        self._count += 1
        goes_back = self.policy == "rollback_and_lower_rate" and self._rescue.is_left
        self._first = replace(self._first, action=self.policy if goes_back else "stop")
        self.tell(self._count)
        if goes_back:
            self._rescue.go_back(scene.step)
            guard.clear()
            return None
        return Failure("nonfinite", self._detail(scene))

    def end_epoch(self) -> None:
        """Tells a count that has risen."""
        if self._first is not None and self.policy == "continue":
            self.tell(self._step.guard.count)

    def tell(self, count: int) -> None:
        if self._first is not None and count != self._told:
            self._told = count
            self._report(replace(self._first, count=count))

    def _found(self, scene: Scene) -> Found:
        """Where it does not come again when it is repeated, the loss or the gradient."""
        found = first_nonfinite(self._step, scene.batches(), self._architecture, self._ranks, scene.drawn_from)
        return found or Found("gradient", "nan")

    def _detail(self, scene: Scene) -> str:
        assert self._first is not None
        first = f"In step {self._first.step}, after {self._first.epoch} epochs, {self._words} first."
        again = f" It came again after {MOST_ROLLBACKS} times going back, the last at step {scene.step}."
        return first + (again if self.policy != "stop" else "") + " The update was not applied."

    def state(self) -> State:
        first = self._first and asdict(self._first)
        return {"first": first, "words": self._words, "count": self._count, "told": self._told}

    def restore(self, state: State) -> None:
        self._first = state["first"] and Incident(**state["first"])
        self._words, self._count, self._told = state["words"], state["count"], state["told"]
