"""Any number of sweepers may find the same lost jobs: each job is given back once."""

import subprocess
import sys
from collections import Counter

import pytest
from sqlalchemy import update

from models.database import Database, lease_now
from models.tables import Job
from tests.factories import a_claim, a_queued_job, event_types

SWEEPER = """
import sys
from models.database import Database
from models.lifecycle import sweep
database = Database(sys.argv[1])
sys.stdin.readline()
swept = 0
for _ in range(200):
    with database.write() as connection:
        swept = len(sweep(connection, 100))
while swept:
    with database.write() as connection:
        swept = len(sweep(connection, 100))
"""


@pytest.mark.fault(20)
@pytest.mark.parametrize("rounds", [2, pytest.param(30, marks=pytest.mark.long)])
def test_sweepers_that_sweep_at_once_give_each_job_back_once(
    database: Database, database_url: str, rounds: int
) -> None:
    jobs = [a_queued_job(database) for _ in range(40)]
    for turn in range(1, rounds + 1):
        for _ in jobs:
            a_claim(database)
        line = [sys.executable, "-c", SWEEPER, database_url]
        sweepers = [subprocess.Popen(line, stdin=subprocess.PIPE) for _ in range(3)]
        with database.write() as connection:
            connection.execute(update(Job).values(lease_until=lease_now() - 1))
        for sweeper in sweepers:
            assert sweeper.stdin is not None
            sweeper.stdin.write(b"go\n")
            sweeper.stdin.flush()
        # One that came too late to find any waits for the next; it has done no harm.
        ends = [_end(sweeper) for sweeper in sweepers]
        assert 0 in ends
        assert set(ends) <= {0, -9}
        for job_id in jobs:
            assert Counter(event_types(database, job_id))["job.requeued"] == turn


def _end(sweeper: subprocess.Popen[bytes]) -> int:
    try:
        return sweeper.wait(4)
    except subprocess.TimeoutExpired:
        sweeper.kill()
        return sweeper.wait()
    finally:
        assert sweeper.stdin is not None
        sweeper.stdin.close()
