"""The queue of tasks: claimed once, fenced, given back, given up."""

import pytest
from sqlalchemy import select, update

from models import artifacts, tasks
from models.artifacts import MADE, ONNX, Made, State
from models.database import Database, lease_now
from models.errors import QueueFull
from models.lifecycle import LeaseLost, remove
from models.recording import record
from models.reports import Ended, ModelKept
from models.storage import Stored
from models.tables import Artifact, Task
from models.tasks import MOST_ATTEMPTS, MOST_OPEN, Kind, TaskClaim
from tests.factories import OWNER, a_claim, a_queued_job

KEPT = ModelKept(Stored("artifacts/job_1/try_1/checkpoint.pt", 10, "00"), evaluation={"task": "classification"})
EXPORTS = (Kind.EXPORT,)


def a_job_that_succeeded(database: Database, model: ModelKept = KEPT) -> str:
    job_id = a_queued_job(database)
    claim = a_claim(database)
    with database.write() as connection:
        record(connection, claim, [Ended("succeeded", {}, 0.0, model=model)], 0.0, 1)
    return job_id


def take(database: Database, worker: str = "wrk_a") -> TaskClaim:
    with database.write() as connection:
        task = tasks.claim(connection, worker, EXPORTS, 60)
    assert task is not None
    return task


def states(database: Database, job_id: str) -> dict[str, str]:
    with database.read() as connection:
        rows = connection.execute(select(Artifact.name, Artifact.state).where(Artifact.job_id == job_id))
        return {name: state for name, state in rows}  # noqa: C416


def expire(database: Database) -> None:
    with database.write() as connection:
        connection.execute(update(Task).values(lease_until=lease_now() - 1))


def test_a_job_that_succeeds_has_its_checkpoint_and_expects_the_rest(database: Database) -> None:
    job_id = a_job_that_succeeded(database)
    assert states(database, job_id) == {"checkpoint.pt": State.READY} | dict.fromkeys(MADE, State.PENDING)
    with database.read() as connection:
        [evaluation] = tasks.tasks_of(connection, job_id, OWNER, Kind.EVALUATION, None, 10)
        assert artifacts.checkpoint_of(connection, job_id) == KEPT.checkpoint
    assert (evaluation.status, evaluation.result) == ("succeeded", {"task": "classification"})


def test_a_model_that_could_not_be_stored_leaves_the_reason(database: Database) -> None:
    job_id = a_job_that_succeeded(database, ModelKept(None, "The disk was full."))
    assert set(states(database, job_id).values()) == {State.FAILED}
    with database.read() as connection:
        assert not tasks.is_work(connection, EXPORTS)


def test_a_task_is_claimed_once_and_what_it_made_is_there(database: Database) -> None:
    job_id = a_job_that_succeeded(database)
    task = take(database)
    with database.write() as connection:
        assert tasks.claim(connection, "wrk_b", EXPORTS, 60) is None
        tasks.succeed(connection, task, {})
        made = [Made(name, Stored(f"artifacts/{name}", 1, "00")) for name in MADE if name != ONNX]
        artifacts.settle(connection, job_id, [*made, Made(ONNX, None, "It is too large.")])
    found = states(database, job_id)
    assert found.pop(ONNX) == State.FAILED
    assert set(found.values()) == {State.READY}


def test_a_task_of_a_lost_worker_is_anothers_and_the_first_is_fenced(database: Database) -> None:
    a_job_that_succeeded(database)
    first = take(database)
    expire(database)
    second = take(database, "wrk_b")
    assert (second.id, second.attempt) == (first.id, 2)
    for late in (tasks.renew, tasks.give_back):
        with database.write() as connection, pytest.raises(LeaseLost):
            late(connection, first, 60)  # type: ignore[operator]
    with database.write() as connection, pytest.raises(LeaseLost):
        tasks.succeed(connection, first, {})


def test_what_a_dead_worker_held_is_free_at_once(database: Database) -> None:
    a_job_that_succeeded(database)
    take(database)
    with database.write() as connection:
        assert not tasks.release(connection, [])
        assert tasks.release(connection, ["wrk_a"])
    assert take(database, "wrk_b").attempt == 2


def test_a_hand_over_does_not_count(database: Database) -> None:
    a_job_that_succeeded(database)
    for _ in range(MOST_ATTEMPTS + 2):
        task = take(database)
        with database.write() as connection:
            assert tasks.give_back(connection, task, "leaving", counts=False)


def test_one_that_is_lost_waits_a_while_and_is_given_up_after_its_attempts(database: Database) -> None:
    job_id = a_job_that_succeeded(database)
    for attempt in range(1, MOST_ATTEMPTS + 1):
        task = take(database)
        assert task.attempt == attempt
        with database.write() as connection:
            left = tasks.give_back(connection, task, "its process died")
            assert left == (attempt < MOST_ATTEMPTS)
            assert not tasks.is_work(connection, EXPORTS)
        expire(database)
    with database.read() as connection:
        row = tasks.find(connection, job_id, OWNER, Kind.EXPORT, task.id)
    assert (row.status, row.error["code"]) == ("failed", "worker_lost")


def test_a_job_that_is_deleted_takes_its_tasks_along(database: Database) -> None:
    job_id = a_job_that_succeeded(database)
    task = take(database)
    with database.write() as connection:
        remove(connection, job_id, OWNER)
    with database.write() as connection, pytest.raises(LeaseLost):
        tasks.renew(connection, task, 60)


def test_the_tasks_of_a_job_are_bounded(database: Database) -> None:
    job_id = a_job_that_succeeded(database)
    with database.write() as connection:
        for _ in range(MOST_OPEN - 1):  # the export is one
            tasks.create(connection, job_id, Kind.EVALUATION, {})
        with pytest.raises(QueueFull):
            tasks.create(connection, job_id, Kind.EVALUATION, {})
