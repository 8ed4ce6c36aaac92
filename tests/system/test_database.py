"""While the database is away nothing is done, and nothing is done twice when it is back."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.system.commit_proxy import CommitProxy
from tests.system.invariants import check_invariants
from tests.system.servers import helper
from tests.system.stack import BRIEF, LEASE_SECONDS, Stack, exists, same_result, state_of
from tests.waiting import await_true

TINY: dict[str, Any] = {
    "network": {"family": "dnn", "hidden": [4]},
    "data": {"dataset": "xor"},
    "training": {"epochs": 2},
}


@contextmanager
def running(stack: Stack) -> Iterator[str]:
    """A job that trains; in the end it has succeeded, with the numbers of one that nothing happened to."""
    job_id = stack.post(BRIEF)
    stack.await_runner(job_id)
    yield job_id
    assert stack.follow(job_id)["status"] == "succeeded"
    same_result(stack, job_id, stack.train(BRIEF)["id"])


@pytest.mark.fault(13)
@pytest.mark.parametrize(
    "seconds",
    [
        LEASE_SECONDS / 3,
        LEASE_SECONDS * 2,
        pytest.param(30, marks=pytest.mark.long),
        pytest.param(120, marks=pytest.mark.long),
    ],
)
def test_a_database_that_is_away_for_a_while_costs_no_job(stack: Stack, seconds: float) -> None:
    with running(stack):
        waiting = stack.post(TINY)
        with stack.database.away():
            time.sleep(seconds)
        assert stack.follow(waiting)["status"] == "succeeded"


@pytest.mark.fault(13)
def test_a_post_while_the_database_is_away_is_refused_and_half_done_by_nobody(production: Stack) -> None:
    before = {job["id"] for job in production.client.get("/v1/jobs").json()["items"]}
    with production.database.away():
        reply = production.client.post("/v1/jobs", json=TINY)
        assert (reply.status_code, reply.json()["code"]) == (503, "database_away")
        assert reply.headers["retry-after"]
    assert {job["id"] for job in production.client.get("/v1/jobs").json()["items"]} == before
    assert production.train(TINY)["status"] == "succeeded"


@pytest.mark.fault(13)
def test_a_post_waits_for_a_locked_database(embedded: Stack) -> None:
    replies: list[httpx.Response] = []
    with embedded.database.away():
        poster = threading.Thread(target=lambda: replies.append(embedded.client.post("/v1/jobs", json=TINY)))
        poster.start()
        time.sleep(1)
        assert not replies
    poster.join()
    assert replies[0].status_code == 202
    assert embedded.follow(replies[0].json()["id"])["status"] == "succeeded"


@pytest.mark.fault(13)
@pytest.mark.parametrize("times", [20, pytest.param(200, marks=pytest.mark.long)])
def test_connections_that_are_cut_at_any_moment_cost_no_job(production: Stack, times: int) -> None:
    """Claims, heartbeats, records and finishes of small jobs are always on their way."""
    worker = production.worker()
    jobs = [production.post(TINY) for _ in range(5 * times)]
    for _ in range(times):
        production.database.kill_backends()
        time.sleep(0.1)
    for job_id in jobs:
        assert production.follow(job_id)["status"] == "succeeded"
    assert production.worker() == worker


@pytest.mark.fault(13)
@pytest.mark.parametrize("times", [2, pytest.param(20, marks=pytest.mark.long)])
def test_a_database_that_restarts_while_small_jobs_come_and_go_costs_none(production: Stack, times: int) -> None:
    worker = production.worker()
    jobs = [production.post(TINY) for _ in range(20 * times)]
    for _ in range(times):
        with production.database.away():
            time.sleep(0.2)
        time.sleep(0.3)
    for job_id in jobs:
        assert production.follow(job_id)["status"] == "succeeded"
    assert production.worker() == worker


@pytest.mark.fault(13)
def test_a_job_whose_database_freezes_beyond_the_lease_is_stopped_and_goes_on_when_it_is_back(
    production: Stack,
) -> None:
    with running(production) as job_id:
        runner = production.runners()[0]
        with production.database.frozen():
            await_true(lambda: not exists(runner), LEASE_SECONDS + 1)
            time.sleep(LEASE_SECONDS)
        await_true(lambda: production.job(job_id)["attempt"] == 2)


@pytest.mark.fault(14)
@pytest.mark.parametrize("moment", ["job.started", "job.epoch", "job.succeeded"])
def test_a_commit_whose_reply_is_lost_is_done_once(production: Stack, moment: str) -> None:
    with CommitProxy(production.database.port, moment.encode()) as proxy, production.worker_asleep():
        url = production.database.url_of("descent", proxy.port)
        with production.another_worker(DESCENT_DATABASE_URL=url):
            job_id = production.post(TINY)
            job = production.follow(job_id)
            assert proxy.dropped == 1
    assert job["status"] == "succeeded"
    assert production.event_types(job_id).count("job.succeeded") == 1
    check_invariants(production)


WRITER = """
import os, signal, sys
from models.database import Database
with Database(sys.argv[1]).write() as connection:
    connection.exec_driver_sql("UPDATE jobs SET name = name")
    print("held", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
"""


@pytest.mark.quick_on("production")
@pytest.mark.fault(15)
def test_a_writer_that_sleeps_in_a_transaction_delays_and_harms_nobody(stack: Stack) -> None:
    with running(stack) as job_id, helper(WRITER, stack.database_url) as sleeper:
        time.sleep(LEASE_SECONDS * 1.5)
        sleeper.send_signal(signal.SIGCONT)
        await_true(lambda: sleeper.poll() is not None)
        assert sleeper.returncode == 0
        assert stack.job(job_id)["attempt"] >= 1


@pytest.mark.fault(15)
def test_a_writer_that_is_killed_in_a_transaction_leaves_no_lock(stack: Stack) -> None:
    with running(stack), helper(WRITER, stack.database_url) as sleeper:
        time.sleep(0.5)
        sleeper.kill()
        assert stack.train(TINY)["status"] == "succeeded"


@pytest.mark.long
@pytest.mark.fault(15)
def test_a_sleeper_in_a_transaction_is_thrown_out_by_the_server(production: Stack) -> None:
    with running(production), helper(WRITER, production.database_url):
        time.sleep(32)
        assert production.train(TINY)["status"] == "succeeded"


@pytest.mark.fault(15)
@pytest.mark.parametrize("times", [5, pytest.param(50, marks=pytest.mark.long)])
def test_a_worker_that_is_stopped_while_it_writes_blocks_nobody_for_ever(stack: Stack, times: int) -> None:
    worker = stack.worker()
    jobs = [stack.post(TINY) for _ in range(10 * times)]
    for _ in range(times):
        os.kill(worker, signal.SIGSTOP)
        await_true(lambda: state_of(worker) == "T")
        time.sleep(0.2)
        os.kill(worker, signal.SIGCONT)
        time.sleep(0.1)
    for job_id in jobs:
        assert stack.follow(job_id)["status"] == "succeeded"
