"""The moves of a job, on SQLite and on PostgreSQL."""

import threading
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import insert, update
from sqlalchemy.exc import IntegrityError

from models.claims import Claim, Held, claim, held, renew
from models.database import Database, database_now
from models.errors import IllegalMove, NotFound, QueueFull
from models.lifecycle import LeaseLost, cancel, finish, give_back, sweep
from models.states import MOVES, TERMINAL, Status
from models.submission import submit
from models.tables import TERMINAL_EVENTS, Event, Job, Worker
from models.workers import Registration, beat, bury, registered
from tests.factories import OWNER, a_claim, a_definition, a_queued_job, an_offer, event_types, expire_lease, row_of


def test_a_submitted_job_waits_with_every_default_filled_in(database: Database) -> None:
    row = row_of(database, a_queued_job(database))
    assert (row.status, row.attempt, row.definition["training"]["batch_size"]) == ("queued", 0, 64)


def test_the_highest_priority_is_claimed_first_and_equals_in_order_of_arrival(database: Database) -> None:
    low = [a_queued_job(database) for _ in range(2)]
    high = a_queued_job(database, priority=1)
    assert [a_claim(database).job_id for _ in range(3)] == [high, *low]


def test_a_slot_on_the_cpu_leaves_jobs_that_ask_for_cuda(database: Database) -> None:
    job = a_queued_job(database, resources={"device": "cuda"})
    with database.write() as connection:
        assert claim(connection, "wrk_a", an_offer(), 60) is None
    assert a_claim(database, device="cuda:0").job_id == job


def test_many_workers_at_once_claim_each_job_once(database: Database) -> None:
    jobs = [a_queued_job(database) for _ in range(40)]
    taken: list[Claim] = []

    def work(name: str) -> None:
        while True:
            with database.write() as connection:
                mine = claim(connection, name, an_offer(), 60)
            if mine is None:
                return
            taken.append(mine)

    threads = [threading.Thread(target=work, args=(f"wrk_{index}",)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(mine.job_id for mine in taken) == Counter(jobs)


def test_an_earlier_attempt_is_fenced_out(database: Database) -> None:
    job = a_queued_job(database)
    first = a_claim(database)
    expire_lease(database, job)
    with database.write() as connection:
        assert sweep(connection, 3) == [Status.QUEUED]
    second = a_claim(database, "wrk_b")
    with pytest.raises(LeaseLost), database.write() as connection:
        finish(connection, job, first.attempt, Status.SUCCEEDED)
    assert (row_of(database, job).status, second.attempt) == ("running", 2)


def test_finishing_twice_is_harmless_and_leaves_one_terminal_event(database: Database) -> None:
    job = a_queued_job(database)
    mine = a_claim(database)
    for _ in range(2):
        with database.write() as connection:
            finish(connection, job, mine.attempt, Status.SUCCEEDED)
    assert event_types(database, job) == ["job.queued", "job.started", "job.succeeded"]


def test_a_running_job_that_stopped_for_a_cancel_says_why(database: Database) -> None:
    job = a_queued_job(database)
    mine = a_claim(database)
    with database.write() as connection:
        cancel(connection, job, OWNER, "graceful")
        finish(connection, job, mine.attempt, Status.CANCELLED, status_reason=None)
    assert row_of(database, job).status_reason == "a client cancelled it"


def test_the_database_refuses_a_second_terminal_event(database: Database) -> None:
    job = a_queued_job(database)
    with database.write() as connection:
        cancel(connection, job, OWNER, "graceful")
    row = {"job_id": job, "type": TERMINAL_EVENTS[0], "at": database_now(), "attempt": 0, "data": {}}
    with pytest.raises(IntegrityError), database.write() as connection:
        connection.execute(insert(Event).values(row))


@pytest.mark.parametrize("mode", ["graceful", "force"])
def test_a_running_job_is_asked_to_stop_and_a_worker_hears_it(database: Database, mode: str) -> None:
    job = a_queued_job(database)
    mine = a_claim(database)
    for _ in range(2):
        with database.write() as connection:
            cancel(connection, job, OWNER, mode)
    with database.read() as connection:
        assert held(connection, "wrk_a") == {job: Held(mine.attempt, "cancelling", mode)}
    assert event_types(database, job)[-1] == "job.cancelling"


def test_a_job_that_ended_stays_as_it_is(database: Database) -> None:
    job = a_queued_job(database)
    mine = a_claim(database)
    with database.write() as connection:
        finish(connection, job, mine.attempt, Status.FAILED, {"code": "x"})
    with pytest.raises(IllegalMove, match="failed"), database.write() as connection:
        cancel(connection, job, OWNER, "graceful")


def test_a_job_of_another_owner_cannot_be_cancelled_nor_seen(database: Database) -> None:
    job = a_queued_job(database)
    with pytest.raises(NotFound), database.write() as connection:
        cancel(connection, job, "key_other", "force")


def test_a_lost_job_runs_again_until_its_attempts_are_used_up(database: Database) -> None:
    job = a_queued_job(database)
    outcomes = []
    for _ in range(3):
        a_claim(database)
        expire_lease(database, job)
        with database.write() as connection:
            outcomes += sweep(connection, 3)
    row = row_of(database, job)
    assert outcomes == ["queued", "queued", "failed"]
    assert (row.error["code"], row.error["class"], row.error["retryable"]) == ("worker_lost", "infrastructure", True)


def test_a_graceful_hand_over_never_counts(database: Database) -> None:
    job = a_queued_job(database)
    for _ in range(5):
        mine = a_claim(database)
        with database.write() as connection:
            give_back(connection, job, mine.attempt, "leaving", 3, counts=False)
    row = row_of(database, job)
    assert (row.status, row.attempt, row.fruitless) == ("queued", 5, 0)
    assert (row.worker, row.device, row.lease_until) == (None, None, None)


def test_a_cancelled_job_whose_worker_is_lost_is_cancelled(database: Database) -> None:
    job = a_queued_job(database)
    a_claim(database)
    with database.write() as connection:
        cancel(connection, job, OWNER, "graceful")
    expire_lease(database, job)
    with database.write() as connection:
        assert sweep(connection, 3) == [Status.CANCELLED]


def test_what_a_worker_of_this_machine_held_whose_process_is_gone_waits_for_no_lease(database: Database) -> None:
    a_queued_job(database)
    other = a_queued_job(database)
    for name in ("wrk_gone", "wrk_here"):
        a_claim(database, name)
        with database.write() as connection:
            beat(connection, Registration(name, ("cpu",), 2**30, True))
    with database.write() as connection:
        connection.execute(update(Worker).where(Worker.id == "wrk_gone").values(pid=2**22 + 1))
        connection.execute(insert(Worker).values(a_worker_elsewhere()))
        gone = bury(connection)
        assert gone == ["wrk_gone"]
        assert sweep(connection, 3, gone) == [Status.QUEUED]
        assert {worker["id"] for worker in registered(connection)} == {"wrk_here", "wrk_elsewhere"}
    assert row_of(database, other).status == "running"


def a_worker_elsewhere() -> dict[str, Any]:
    row = Registration("wrk_elsewhere", ("cpu",), 2**30, True).row()
    return row | {"machine": "another", "pid": 2**22 + 1, "started_at": 0.0, "heartbeat_at": 0.0}


def test_a_lease_by_the_clock_of_another_boot_has_run_out(database: Database) -> None:
    job = a_queued_job(database)
    a_claim(database)
    with database.write() as connection:
        connection.execute(update(Job).where(Job.id == job).values(lease_clock="an earlier boot"))
        assert sweep(connection, 3) == [Status.QUEUED]


def test_a_heartbeat_keeps_a_job_from_the_sweeper(database: Database) -> None:
    job = a_queued_job(database)
    a_claim(database)
    expire_lease(database, job)
    with database.write() as connection:
        renew(connection, "wrk_a", 60)
        assert sweep(connection, 3) == []


def test_a_full_queue_refuses_the_next_job(database: Database) -> None:
    with database.write() as connection:
        submit(connection, a_definition(), OWNER, most_queued=1)
    with pytest.raises(QueueFull, match="DESCENT_QUEUED_JOBS"), database.write() as connection:
        submit(connection, a_definition(), OWNER, most_queued=1)


def test_no_move_leads_out_of_a_terminal_state() -> None:
    assert {status for status in Status if not MOVES[status]} == TERMINAL
