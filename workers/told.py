"""What a runner is told of its job besides the job itself: for its log, and for the trace."""

from dataclasses import dataclass, field
from typing import Any

from models.trail import NO_TRAIL, Trail


@dataclass(frozen=True)
class Told:
    """By its supervisor."""

    trail: Trail = NO_TRAIL
    ids: dict[str, Any] = field(default_factory=dict)
    """Of the job and the attempt, for each line of the log."""
    traced: bool = False
    """Whether it is to report its phases."""


NOTHING = Told()
