"""The spans of a job's attempt, and of a task.

A runner knows nothing of OpenTelemetry: it reports when its phases began and ended, and its supervisor, which outlives
it, makes spans of that.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from models.claims import Claim
from models.reports import Ended, PhaseEnded, Report
from models.tasks import TaskClaim
from models.trail import Trail

if TYPE_CHECKING:
    from models.spans import Tracing


class AttemptTrace:
    """How long the job has waited, then the attempt, and in it what its runner did."""

    def __init__(self, tracing: "Tracing", claim: Claim, runner: int) -> None:
        """`runner`: its process."""
        self._tracing = tracing
        self._runner = runner
        self._outcome = "lost"
        ids: dict[str, str | int] = {"descent.job_id": claim.job_id, "descent.attempt": claim.attempt}
        parent, now = claim.trail.traceparent, time.time()
        # By this machine's clock, as all spans here are; the database's may differ.
        waited = max(claim.claimed_at - claim.queued_at, 0.0)
        queue = tracing.begin("queue", parent, ids, at=now - waited)
        queue.end(at=now)
        said: dict[str, str | int] = {"descent.device": ",".join(claim.devices), "process.pid": runner}
        self._span = tracing.begin("attempt", parent or queue.traceparent, ids | said, at=now)

    def hear(self, reports: Sequence[Report]) -> None:
        """What the runner reports."""
        for report in reports:
            if isinstance(report, PhaseEnded):
                self._add(report)
            elif isinstance(report, Ended):
                self._outcome = report.outcome

    def _add(self, phase: PhaseEnded) -> None:
        offset = time.time() - time.monotonic()
        said = {"process.pid": self._runner}
        span = self._tracing.begin(phase.name, self._span.traceparent, said, at=phase.began + offset)
        span.end(at=phase.ended + offset)

    def end(self) -> None:
        error = f"the attempt was {self._outcome}" if self._outcome in ("lost", "failed") else None
        self._span.end(error, attributes={"descent.outcome": self._outcome})


@contextmanager
def traced(tracing: "Tracing | None", task: TaskClaim, trail: Trail) -> Iterator[None]:
    """A task, as part of the trace of its job."""
    if tracing is None:
        yield
        return
    ids: dict[str, str | int] = {"descent.job_id": task.job_id, "descent.task_id": task.id}
    span = tracing.begin(task.kind, trail.traceparent, ids | {"descent.attempt": task.attempt})
    error: str | None = "it did not come to its end"
    try:
        yield
        error = None
    finally:
        span.end(error)
