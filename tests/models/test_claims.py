"""Who runs next: fair between owners, by priority and age within one, and each job once; on both databases."""

import threading
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import insert, update

from models.claims import LEAD_SECONDS, PATIENCE_SECONDS, Claim, Offer, charge, claim
from models.database import Database, database_now
from models.lifecycle import cancel, finish, give_back, sweep
from models.states import Status
from models.submission import AGEING_SECONDS, Submission, submit_all
from models.tables import Job, Share
from tests.factories import a_definition, an_offer, expire_lease, row_of

GIB = 2**30


def queue_of(database: Database, owner: str, count: int, memory: int = 0, **changes: Any) -> list[str]:
    """So many queued jobs of an owner."""
    wanted = [Submission(a_definition(**changes), owner, memory)] * count
    with database.write() as connection:
        return [answer["id"] for answer in submit_all(connection, wanted, 10**6) if isinstance(answer, dict)]


def take(database: Database, offer: Offer | None = None, worker: str = "wrk_a") -> Claim | None:
    with database.write() as connection:
        return claim(connection, worker, offer or an_offer(), 60)


def owner_of(database: Database, mine: Claim | None) -> str:
    assert mine is not None
    return str(row_of(database, mine.job_id).owner)


def end(database: Database, mine: Claim, seconds: float = 0.0) -> None:
    """As if the job had held its slot for so long."""
    with database.write() as connection:
        earlier = database_now() - seconds
        connection.execute(update(Job).where(Job.id == mine.job_id).values(claimed_at=earlier))
        finish(connection, mine.job_id, mine.attempt, Status.SUCCEEDED)


def shift(database: Database, *jobs: str, **seconds: float) -> None:
    """Moves times of jobs into the past."""
    with database.write() as connection:
        moved = {name: getattr(Job, name) - by for name, by in seconds.items()}
        connection.execute(update(Job).where(Job.id.in_(jobs)).values(moved))


@pytest.mark.parametrize("owners", [2, 3])
def test_owners_hold_equally_many_slots_however_many_wait(database: Database, owners: int) -> None:
    queue_of(database, "key_0", 100, priority=100)
    for number in range(1, owners):
        queue_of(database, f"key_{number}", 20)
    held = Counter(owner_of(database, take(database)) for _ in range(4 * owners))
    assert set(held.values()) == {4}


def test_a_slot_goes_to_who_used_fewer_slot_seconds(database: Database) -> None:
    """One slot, jobs of 1 and of 5 seconds: equal times, not equal numbers."""
    seconds = {"key_long": 5.0, "key_short": 1.0}
    for owner in seconds:
        queue_of(database, owner, 60)
    used: Counter[str] = Counter()
    for _ in range(48):
        mine = take(database)
        owner = owner_of(database, mine)
        assert mine is not None
        end(database, mine, seconds[owner])
        used[owner] += int(seconds[owner])
    assert abs(used["key_long"] - used["key_short"]) <= 5


def test_one_who_arrives_beside_5000_waiting_jobs_is_next(database: Database) -> None:
    queue_of(database, "key_many", 5000, priority=1000)
    for _ in range(4):
        take(database)
    [late] = queue_of(database, "key_late", 1, priority=-1000)
    mine = take(database)
    assert mine is not None
    assert mine.job_id == late


def test_a_week_without_jobs_gives_no_claim_to_a_week(database: Database) -> None:
    week = 7 * 86_400.0
    with database.write() as connection:
        shares = [{"owner": "key_busy", "served": week}, {"owner": "key_away", "served": 10.0}]
        connection.execute(insert(Share), shares)
    for owner in ("key_busy", "key_away"):
        queue_of(database, owner, 40)
    turns = []
    for _ in range(20):
        mine = take(database)
        assert mine is not None
        turns.append(owner_of(database, mine))
        end(database, mine, LEAD_SECONDS / 4)
    # Its first job ends LEAD_SECONDS behind, four more come up, and from there they take turns.
    assert turns[:4] == ["key_away"] * 4
    assert abs(turns[6:].count("key_away") - turns[6:].count("key_busy")) <= 1


def test_within_an_owner_priority_goes_before_age_until_the_difference_is_waited_for(database: Database) -> None:
    [old] = queue_of(database, "key_a", 1)
    [urgent] = queue_of(database, "key_a", 1, priority=1)
    # Age is part of the rank: when a job was created.
    assert row_of(database, old).rank - row_of(database, urgent).rank == pytest.approx(AGEING_SECONDS, abs=5)
    [ancient] = queue_of(database, "key_a", 1)
    shift(database, ancient, rank=AGEING_SECONDS + 10)
    taken = [take(database) for _ in range(3)]
    assert [mine and mine.job_id for mine in taken] == [ancient, urgent, old]


def test_a_job_of_several_slots_is_passed_over_for_a_while_and_then_waited_for(database: Database) -> None:
    [big] = queue_of(database, "key_a", 1, resources={"device": "cpu", "processes": 4})
    small = queue_of(database, "key_a", 10)
    first = take(database, an_offer(slots=4, free=3))
    assert first is not None
    assert first.job_id == small[0]
    shift(database, big, queued_at=PATIENCE_SECONDS + 1)
    # A slot becomes free, and another: both are kept for it.
    assert [take(database, an_offer(slots=4, free=free)) for free in (1, 2, 3)] == [None] * 3
    # A worker that never has so many goes on with the others.
    elsewhere = take(database, an_offer(slots=2, free=1), "wrk_b")
    assert elsewhere is not None
    assert elsewhere.job_id == small[1]
    mine = take(database, an_offer(slots=4, free=4))
    assert mine is not None
    assert (mine.job_id, mine.devices) == (big, ("cpu",) * 4)
    assert row_of(database, big).device == "cpu,cpu,cpu,cpu"


def test_small_jobs_of_another_owner_do_not_starve_one_of_several_slots(database: Database) -> None:
    [big] = queue_of(database, "key_big", 1, resources={"device": "cpu", "processes": 2})
    queue_of(database, "key_small", 50)
    shift(database, big, queued_at=PATIENCE_SECONDS + 1)
    running = [take(database, an_offer(slots=2, free=2))]
    turns = 0
    while row_of(database, big).status == "queued":
        turns += 1
        assert turns < 10
        free = 2 - len(running)
        if (mine := take(database, an_offer(slots=2, free=free))) is None:
            oldest = running.pop(0)
            assert oldest is not None
            end(database, oldest, 10)
        else:
            running.append(mine)


def test_a_job_gets_no_slot_without_the_memory_it_needs(database: Database) -> None:
    [large] = queue_of(database, "key_a", 1, memory=3 * GIB)
    [small] = queue_of(database, "key_a", 1, memory=GIB)
    full, half = an_offer(memory=4 * GIB), Offer("cpu", ("cpu",), 2, 2 * GIB, 4 * GIB)
    first = take(database, half)
    assert first is not None
    assert (first.job_id, first.memory_bytes) == (small, GIB)
    assert take(database, half) is None
    assert take(database, an_offer(memory=2 * GIB)) is None
    second = take(database, full)
    assert second is not None
    assert second.job_id == large


def test_processes_of_a_cpu_share_its_memory_and_those_of_gpus_do_not(database: Database) -> None:
    [on_gpus] = queue_of(database, "key_a", 1, memory=3 * GIB, resources={"gpus": 2})
    mine = take(database, Offer("cuda:0", ("cuda:0", "cuda:1"), 2, 4 * GIB, 4 * GIB))
    assert mine is not None
    assert (mine.job_id, mine.devices) == (on_gpus, ("cuda:0", "cuda:1"))
    queue_of(database, "key_a", 1, memory=3 * GIB, resources={"device": "cpu", "processes": 2})
    assert take(database, an_offer(slots=2, free=2, memory=4 * GIB)) is None
    assert take(database, an_offer(slots=2, free=2, memory=6 * GIB)) is not None


@pytest.mark.parametrize("owners", [1, 4])
def test_claims_at_once_take_each_job_once_and_never_come_back_empty_while_one_is_left(
    database: Database, owners: int
) -> None:
    jobs = [job for number in range(owners) for job in queue_of(database, f"key_{number}", 160 // owners)]
    taken: list[str] = []
    empty: list[int] = []
    problems: list[Exception] = []

    def work(name: str) -> None:
        try:
            while True:
                with database.write(durable=False) as connection:
                    mine = claim(connection, name, an_offer(), 60)
                    if mine is None:
                        empty.append(len(taken))
                        return
                    # Inside, so that who finds nothing afterwards knows what was taken before.
                    taken.append(mine.job_id)
        except Exception as problem:
            problems.append(problem)

    run_at_once(work, 8)
    assert problems == []
    assert Counter(taken) == Counter(jobs)
    assert min(empty) == len(jobs)


def test_sweepers_and_runs_that_end_do_not_stop_one_another(database: Database) -> None:
    """All charge the same two owners, in whatever order they come to it."""
    for owner in ("key_b", "key_a"):
        queue_of(database, owner, 60)
    problems: list[Exception] = []
    ended: list[Any] = []
    lock = threading.Lock()

    def work(name: str) -> None:
        number = int(name.removeprefix("wrk_"))
        try:
            for _ in range(30):
                if number < 2:
                    with database.write() as connection:
                        swept = sweep(connection, 1)
                    with lock:
                        ended.extend(swept)
                    continue
                mine = take(database, worker=name)
                if mine is None:
                    return
                if number % 2:
                    expire_lease(database, mine.job_id)
                else:
                    with database.write() as connection:
                        finish(connection, mine.job_id, mine.attempt, Status.SUCCEEDED)
                    with lock:
                        ended.append(Status.SUCCEEDED)
        except Exception as problem:
            problems.append(problem)

    run_at_once(work, 6)
    assert problems == []
    with database.write() as connection:
        ended += sweep(connection, 1)
    assert Counter(ended) == {Status.SUCCEEDED: 60, Status.FAILED: 60}


def test_a_job_that_is_being_cancelled_is_passed_by(database: Database) -> None:
    first, second = queue_of(database, "key_a", 2)
    if database.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer")
    with database.write() as connection:
        cancel(connection, first, "key_a", "graceful")
        mine = take(database)
    assert mine is not None
    assert mine.job_id == second
    assert row_of(database, first).status == "cancelled"


def test_a_charge_counts_slots_times_seconds_and_how_long_attempts_last(database: Database) -> None:
    queue_of(database, "key_a", 1, resources={"device": "cpu", "processes": 2})
    mine = take(database, an_offer(slots=2, free=2))
    assert mine is not None
    end(database, mine, 10)
    queue_of(database, "key_a", 1)
    again = take(database)
    assert again is not None
    with database.write() as connection:
        connection.execute(update(Job).where(Job.id == again.job_id).values(claimed_at=database_now() - 20))
        give_back(connection, again.job_id, again.attempt, "leaving", 3, counts=False)
    with database.read() as connection:
        [share] = connection.execute(Share.__table__.select()).all()
    assert (share.owner, share.served) == ("key_a", pytest.approx(40, abs=0.5))
    assert share.attempt_seconds == pytest.approx(12, abs=0.5)
    with database.write() as connection:
        charge(connection, "job_that_is_not_there")


def run_at_once(work: Any, count: int) -> None:
    threads = [threading.Thread(target=work, args=(f"wrk_{number}",)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
