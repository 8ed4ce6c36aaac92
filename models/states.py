"""The states of a job and the legal moves between them. A status says whether the process worked, a verdict whether
the network learned."""

from enum import StrEnum


class Status(StrEnum):
    """Where a job is on its way."""

    QUEUED = "queued"
    """Waiting for a worker."""
    RUNNING = "running"
    """A worker holds its lease."""
    PAUSING = "pausing"
    """A worker was asked to write a checkpoint and to let go of it."""
    PAUSED = "paused"
    """Waits for a client to resume it, and holds no device."""
    CANCELLING = "cancelling"
    """A worker was asked to stop it."""
    SUCCEEDED = "succeeded"
    """Trained to the end of its budget."""
    FAILED = "failed"
    """Ended by an error, told in `error`."""
    CANCELLED = "cancelled"
    """Stopped because a client asked."""


TERMINAL = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELLED})
HELD = frozenset({Status.RUNNING, Status.PAUSING, Status.CANCELLING})
"""States in which a worker holds a lease on the job."""

MOVES: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.RUNNING, Status.PAUSED, Status.CANCELLED}),
    Status.RUNNING: frozenset({Status.QUEUED, Status.PAUSING, Status.CANCELLING, Status.SUCCEEDED, Status.FAILED}),
    Status.PAUSING: frozenset({Status.PAUSED, Status.CANCELLING, Status.SUCCEEDED, Status.FAILED}),
    Status.PAUSED: frozenset({Status.QUEUED, Status.CANCELLED}),
    Status.CANCELLING: frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELLED}),
    Status.SUCCEEDED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELLED: frozenset(),
}
"""From each state, those that may follow. `running` to `queued` is a requeue: its worker was lost or is leaving. What
was asked of a job holds when its worker is lost: `pausing` becomes `paused`, `cancelling` becomes `cancelled`."""


def sources(target: Status) -> tuple[Status, ...]:
    """The states from which a job may move to `target`, for the WHERE clause that guards the move."""
    return tuple(status for status, targets in MOVES.items() if target in targets)


class Verdict(StrEnum):
    """Whether the network learned."""

    HEALTHY = "healthy"
    WARNING = "warning"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"
