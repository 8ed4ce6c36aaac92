"""What comes of a request belongs to it, wherever and whenever it is done."""

from models.database import Database
from models.logs import about
from models.trail import NO_TRAIL, Trail, follow, trail
from tests.factories import a_claim, a_queued_job, row_of

TRAIL = Trail("req-1", f"00-{'a' * 32}-{'b' * 16}-01")


def test_a_job_that_another_one_makes_has_the_trail_of_that_one(database: Database) -> None:
    """As a repair does that a worker queues by itself."""
    follow(TRAIL)
    a_queued_job(database)
    follow(NO_TRAIL)
    mine = a_claim(database)
    with about(mine.trail, job_id=mine.job_id):
        child = a_queued_job(database)
    row = row_of(database, child)
    assert Trail(row.request_id, row.traceparent) == TRAIL
    assert trail() == NO_TRAIL


def test_a_trail_names_its_trace() -> None:
    assert TRAIL.trace_id == "a" * 32
    assert NO_TRAIL.trace_id is None
