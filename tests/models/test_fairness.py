"""The soak of `benchmarks/soak_queue.py` in little: threads for workers, and jobs that only take time."""

import threading
import time

import pytest

from benchmarks.soak_queue import OWNERS, fill, inverted, judge, shares
from models.claims import claim
from models.database import Database
from models.lifecycle import finish
from models.states import Status
from tests.factories import an_offer

JOBS, SLOTS = 200, 4


class Ended:
    """A job's row, as far as shares need it."""

    def __init__(self, owner: str, claimed_at: float, finished_at: float) -> None:
        self.owner, self.claimed_at, self.finished_at = owner, claimed_at, finished_at


def test_200_jobs_of_two_keys_are_done_once_in_order_and_in_equal_shares(database: Database) -> None:
    fill(database, JOBS)
    problems: list[Exception] = []

    def work(name: str) -> None:
        try:
            while True:
                with database.write(durable=False) as connection:
                    mine = claim(connection, name, an_offer(), 60)
                if mine is None:
                    return
                time.sleep(0.01)
                with database.write(durable=False) as connection:
                    finish(connection, mine.job_id, mine.attempt, Status.SUCCEEDED)
        except Exception as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(f"wrk_{number}",)) for number in range(SLOTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    report = judge(database, window=100)
    assert (report.jobs, report.lost, report.waiting, report.twice, report.inversions) == (JOBS, 0, 0, 0, 0)
    # On a busy machine a commit may take as long as a job.
    assert abs(2 * report.share - 1) < 0.2


def test_the_judge_sees_a_job_that_was_overtaken() -> None:
    first, second, third = (1.0, "a"), (1.0, "b"), (2.0, "a")
    assert inverted([first, second, third]) == 0
    assert inverted([second, first, third]) == 1
    assert inverted([third, second, first]) == 2


def test_the_judge_sees_an_unequal_share() -> None:
    a, b = OWNERS
    equal = [Ended(owner, 0.0, 1.0) for owner in (a, b) * 20]
    assert shares(equal, 10) == (pytest.approx(0.5, abs=0.02), 0.0)
    share, worst = shares([Ended(a, 0.0, 3.0), Ended(b, 0.0, 1.0)] * 20, 10)
    assert (share, worst) == (pytest.approx(0.75, abs=0.02), 0.5)
    # Only while both have work.
    assert shares([*equal, *[Ended(a, 0.0, 9.0)] * 50], 10)[0] < 0.6
