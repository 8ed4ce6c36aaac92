"""What is to be expected of the queue: arithmetic on what was read of it, in the order of `models/claims.py`."""

from bisect import bisect_left
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from statistics import fmean


@dataclass(frozen=True)
class Line:
    """The waiting jobs of one owner, and how much of the workers the owner has."""

    owner: str
    waiting: Sequence[tuple[float, str]]
    """(rank, id) of each, ascending."""
    holds: int = 0
    """Slots."""
    served: float = 0.0
    """Slot-seconds used."""
    attempt_seconds: float | None = None
    """How long its attempts last; None: none has ended yet."""

    @property
    def turn(self) -> tuple[float, str]:
        """Of owners that hold equally many slots the one with the lowest is next."""
        return self.served, self.waiting[0][1] if self.waiting else "~"


def position(lines: Collection[Line], mine: Line, rank: float, job_id: str) -> int:
    """Of a waiting job, 1 is next: before it come the jobs of its owner of a lower rank, and of each other owner as
    many as it takes to hold as many slots. Exact for one owner; for several as if no slot were given back meanwhile."""
    before = bisect_left(mine.waiting, (rank, job_id))
    will_hold = mine.holds + before
    others = (
        min(max(will_hold - line.holds + (line.turn < mine.turn), 0), len(line.waiting))
        for line in lines
        if line.owner != mine.owner
    )
    return 1 + before + sum(others)


def mean_seconds(lines: Collection[Line]) -> float | None:
    """How long a slot is held, on average over the owners; None while nothing is known."""
    known = [line.attempt_seconds for line in lines if line.attempt_seconds is not None]
    return fmean(known) if known else None


def start_in(ahead: int, free_in: Sequence[float | None], mean: float | None) -> float | None:
    """Seconds until the job starts that has so many `ahead` of it, where slots become free in so many seconds (None: it
    is not known). None where it cannot be told.

    Work is poured over the slots like water: T where sum of (T - free_in) = mean x jobs that start before.
    """
    known = [mean if seconds is None else seconds for seconds in free_in]
    times = sorted(seconds for seconds in known if seconds is not None)
    if not times or len(times) < len(free_in):
        return None
    if mean is None:
        return times[ahead] if ahead < len(times) else None
    level = 0.0
    for used, time in enumerate(times, start=1):
        if used > ahead:
            return time
        level = (sum(times[:used]) + mean * (ahead + 1 - used)) / used
        if level <= min(times[used : used + 1], default=level):
            break
    return level


def remaining_seconds(
    step: int, steps: int | None, seconds_per_step: float | None, max_seconds: float | None
) -> float | None:
    """Of a running job, by its measured steps; None before there are any."""
    if not seconds_per_step:
        return None
    bounds = [] if steps is None else [(steps - step) * seconds_per_step]
    if max_seconds is not None:
        bounds.append(max_seconds - step * seconds_per_step)
    return max(min(bounds), 0.0) if bounds else None
