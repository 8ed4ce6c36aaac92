"""Tasks are done in a process of their own, beside the jobs: once, whatever becomes of the process."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from migrations.migrate import migrate
from models import tasks
from models.artifacts import State
from models.database import Database
from models.orders import facts_of
from models.recording import record
from models.settings import Settings
from models.tables import Artifact, Task
from models.tasks import Kind
from tests.factories import a_claim, a_queued_job
from tests.workers.exported import trained
from tests.workers.test_spares import await_true
from workers.lane import Lane
from workers.task_process import TaskProcess


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    migrate(f"sqlite:///{tmp_path / 'descent.db'}")
    database = Database(f"sqlite:///{tmp_path / 'descent.db'}")
    yield database
    database.close()


@pytest.fixture
def lane(tmp_path: Path, database: Database) -> Iterator[Callable[..., Lane]]:
    """A lane for exports that looks for work often."""
    lanes: list[Lane] = []

    def start(**settings: Any) -> Lane:
        chosen = Settings(data=tmp_path, idle_poll_seconds=0.05, **settings)
        lanes.append(Lane("wrk_a", (Kind.EXPORT,), database, chosen))
        lanes[-1].start()
        return lanes[-1]

    yield start
    for lane in lanes:
        lane.stop()


def test_a_worker_that_leaves_while_it_starts_has_lanes_that_never_began(tmp_path: Path, database: Database) -> None:
    lane = Lane("wrk_a", (Kind.EXPORT,), database, Settings(data=tmp_path))
    lane.stop()
    lane.start()
    lane.stop()
    assert not lane._thread.is_alive()


def a_trained_job(database: Database, folder: Path) -> str:
    """One that has succeeded, and whose files are to be made."""
    job_id = a_queued_job(database)
    claim = a_claim(database)
    ended = trained(folder).ended
    with database.write() as connection:
        record(connection, claim, [replace(ended, runs=[])], 0.0, 1)
    return job_id


def states(database: Database) -> set[str]:
    with database.read() as connection:
        return set(connection.scalars(select(Artifact.state)))


def the_task(database: Database) -> Any:
    with database.read() as connection:
        return connection.execute(select(Task).where(Task.kind == Kind.EXPORT)).one()


def test_what_a_job_left_is_made(database: Database, tmp_path: Path, lane: Any) -> None:
    a_trained_job(database, tmp_path)
    lane()
    await_true(lambda: states(database) == {State.READY})
    assert (the_task(database).status, the_task(database).attempt) == ("succeeded", 1)


def test_a_task_is_told_of_the_evaluation_that_its_job_ended_with(database: Database, tmp_path: Path) -> None:
    job_id = a_trained_job(database, tmp_path)
    with database.write() as connection:
        tasks.keep_result(connection, job_id, Kind.EVALUATION, {"dataset": "xor"}, {"rows": 0})
    with database.read() as connection:
        assert facts_of(connection, job_id)["evaluation"]["rows"] > 0


def test_one_whose_process_dies_is_done_again(
    database: Database, tmp_path: Path, lane: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "PAUSE_SECONDS", 0.01)
    begin, killed = TaskProcess.begin, []

    def die_once(process: TaskProcess, order: Any) -> None:
        if not killed:
            killed.append(process.pid)
            process.kill()
        begin(process, order)

    monkeypatch.setattr(TaskProcess, "begin", die_once)
    a_trained_job(database, tmp_path)
    lane()
    await_true(lambda: states(database) == {State.READY})
    assert the_task(database).attempt == 2


def test_one_that_always_dies_is_given_up_with_a_reason(
    database: Database, tmp_path: Path, lane: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(TaskProcess, "begin", lambda process, order: process.kill())
    a_trained_job(database, tmp_path)
    lane()
    await_true(lambda: the_task(database).status == "failed")
    assert states(database) == {State.READY, State.FAILED}  # the checkpoint is there


def test_one_that_takes_too_long_is_ended(
    database: Database, tmp_path: Path, lane: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "PAUSE_SECONDS", 60.0)
    monkeypatch.setattr(TaskProcess, "begin", lambda process, order: None)
    a_trained_job(database, tmp_path)
    lane(task_seconds=0.2)
    await_true(lambda: the_task(database).status == "queued" and the_task(database).attempt == 1)
    assert the_task(database).lease_until is not None


def test_a_worker_that_leaves_hands_over_what_it_has(
    database: Database, tmp_path: Path, lane: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(TaskProcess, "begin", lambda process, order: None)
        a_trained_job(database, tmp_path)
        first = lane()
        await_true(lambda: the_task(database).status == "running")
        first.stop()
        assert (the_task(database).status, the_task(database).attempt) == ("queued", 0)
    lane()
    await_true(lambda: states(database) == {State.READY})


def test_a_long_one_keeps_its_lease(
    database: Database, tmp_path: Path, lane: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TaskProcess, "begin", lambda process, order: None)
    a_trained_job(database, tmp_path)
    lane(lease_seconds=0.6)
    await_true(lambda: the_task(database).status == "running")
    before = the_task(database).lease_until
    await_true(lambda: the_task(database).lease_until > before)
    assert the_task(database).attempt == 1
