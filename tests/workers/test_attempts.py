"""What becomes of an attempt: it is paused and goes on, handed over, cancelled, hangs, is refused by the database."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DataError

from models import lifecycle, queries, recording
from models.database import Database
from models.settings import Settings
from models.tables import Event, epochs
from models.workers import Registration
from tests.workers.test_spares import await_true, exists, row, submit
from workers import process
from workers.devices import Slot
from workers.keeper import Keeper
from workers.scheduler import Scheduler

A_SECOND_OR_TWO: dict[str, Any] = {
    "network": {"family": "dnn", "hidden": [32, 32], "dropout": 0.1},
    "data": {"dataset": "xor"},
    "training": {"epochs": 300, "batch_size": 16},
    "gradients": {"every_steps": 10},
}
HANGING = {
    "network": {"family": "dnn", "hidden": [12_000, 12_000]},
    "data": {"dataset": "spirals", "parameters": {"rows": 20_000}},
    "training": {"epochs": 1, "batch_size": 16_000},
}
"""One step of it takes most of a minute, all within one call of the library."""


@pytest.fixture
def backend() -> str:
    """Which database it is makes no difference to a process; the system tests have both."""
    return "sqlite"


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return Settings(
        data=tmp_path,
        database_url=database_url,
        idle_poll_seconds=0.1,
        lease_seconds=5,
        sweep_seconds=0.5,
        checkpoint_seconds=0.5,
        stall_seconds=10,
    )


class Worker:
    """A scheduler of one slot and its keeper, in this process."""

    def __init__(self, settings: Settings, database: Database, name: str) -> None:
        self.scheduler = Scheduler(name, [Slot(0, "cpu")], database, settings)
        self.keeper = Keeper(self.scheduler, Registration(name, ("cpu",), 2**34, True), database, settings)
        self.scheduler.warm()
        self.keeper.start()
        self.scheduler.start()

    def stop(self) -> None:
        self.scheduler.stop()
        self.keeper.stop()


@pytest.fixture
def worker(settings: Settings, database: Database) -> Iterator[Worker]:
    process.start_server()
    worker = Worker(settings, database, "wrk_here")
    yield worker
    worker.stop()


def started(database: Database, plain: dict[str, Any]) -> str:
    """A job of which some steps are taken."""
    job_id = submit(database, plain)
    await_true(lambda: row(database, job_id).first_step_at)
    return job_id


def move(database: Database, kind: Any, job_id: str, *more: str) -> None:
    with database.write() as connection:
        kind(connection, job_id, "me", *more)


def recorded(database: Database, job_id: str) -> Any:
    """All that a client can see of how it trained."""
    with database.read() as connection:
        pieces = queries.pieces(connection, job_id, "tensors", "norm", 0, None)
        metrics = connection.execute(select(epochs).where(epochs.c.job_id == job_id).order_by(epochs.c.epoch)).all()
    steps = [int(step) for piece in pieces for step in piece.decode()[0]]
    values = b"".join(piece.decode()[1].tobytes() for piece in pieces)
    losses = [(one.epoch, one.train_loss, one.validation_loss, one.validation_accuracy) for one in metrics]
    return steps, values, losses, row(database, job_id).weights_sha256


def reasons(database: Database, job_id: str) -> list[str]:
    with database.read() as connection:
        query = select(Event.data).where(Event.job_id == job_id, Event.type == "job.requeued")
        return [data["reason"] for data in connection.scalars(query)]


def test_a_job_that_is_paused_holds_no_device_and_goes_on_to_the_same_numbers(
    worker: Worker, database: Database
) -> None:
    undisturbed = submit(database, A_SECOND_OR_TWO)
    await_true(lambda: row(database, undisturbed).status == "succeeded")
    job = started(database, A_SECOND_OR_TWO)
    [run] = worker.scheduler.runs()
    move(database, lifecycle.pause, job)
    await_true(lambda: row(database, job).status == "paused")
    await_true(lambda: not worker.scheduler.runs() and not exists(run.pid))
    paused = row(database, job)
    assert (paused.checkpoint_step, paused.lease_until, paused.fruitless) == (paused.step, None, 0)
    move(database, lifecycle.resume, job)
    await_true(lambda: row(database, job).status == "succeeded")
    assert row(database, job).attempt == 2
    assert recorded(database, job) == recorded(database, undisturbed)
    assert recorded(database, job)[3] is not None


def test_a_worker_that_leaves_hands_over_at_the_step_it_has_reached(
    worker: Worker, settings: Settings, database: Database
) -> None:
    job = started(database, A_SECOND_OR_TWO)
    other = Worker(settings, database, "wrk_other")
    worker.scheduler.stop()
    handed = row(database, job)
    await_true(lambda: row(database, job).worker == "wrk_other")
    assert handed.checkpoint_step > 0
    assert reasons(database, job) == ["its worker is shutting down"]
    await_true(lambda: row(database, job).status == "succeeded")
    assert (row(database, job).attempt, row(database, job).worker) == (2, "wrk_other")
    other.stop()


def test_a_runner_that_is_killed_goes_on_from_its_checkpoint_to_the_same_numbers(
    worker: Worker, database: Database
) -> None:
    long = A_SECOND_OR_TWO | {"training": {"epochs": 500, "batch_size": 16}}
    undisturbed, job = submit(database, long), submit(database, long)
    await_true(lambda: row(database, undisturbed).status == "succeeded")
    await_true(lambda: row(database, job).checkpoint_step > 0)
    [run] = worker.scheduler.runs()
    os.kill(run.pid, signal.SIGKILL)
    await_true(lambda: row(database, job).status == "succeeded")
    assert (row(database, job).attempt, reasons(database, job)) == (2, ["its process died (signal 9)"])
    assert recorded(database, job) == recorded(database, undisturbed)


def test_a_job_that_hangs_in_native_code_is_cancelled_within_five_seconds(worker: Worker, database: Database) -> None:
    job = submit(database, HANGING)
    await_true(worker.scheduler.runs)
    [run] = worker.scheduler.runs()
    time.sleep(1)
    asked = time.monotonic()
    move(database, lifecycle.cancel, job, "graceful")
    await_true(lambda: row(database, job).status == "cancelled" and not exists(run.pid))
    assert 2 < time.monotonic() - asked < 5
    await_true(lambda: not worker.scheduler.runs())


def test_a_runner_that_is_silent_is_killed_as_a_lost_attempt(worker: Worker, database: Database) -> None:
    job = started(database, A_SECOND_OR_TWO)
    [run] = worker.scheduler.runs()
    os.kill(run.pid, signal.SIGSTOP)
    await_true(lambda: row(database, job).attempt == 2)
    assert reasons(database, job) == ["it did not advance for 10 s"]
    await_true(lambda: row(database, job).status == "succeeded")


def test_a_runner_is_killed_though_the_fork_server_is_dead(worker: Worker, database: Database) -> None:
    from multiprocessing import forkserver

    job = started(database, A_SECOND_OR_TWO | {"training": {"epochs": 100_000}})
    [run] = worker.scheduler.runs()
    os.kill(forkserver._forkserver._forkserver_pid, signal.SIGKILL)  # type: ignore[attr-defined]
    move(database, lifecycle.cancel, job, "force")
    await_true(lambda: row(database, job).status == "cancelled" and not exists(run.pid))
    after = submit(database, A_SECOND_OR_TWO)
    await_true(lambda: row(database, after).status == "succeeded")


def test_statistics_that_the_database_refuses_do_not_stop_the_training_and_are_counted(
    worker: Worker, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    upsert = recording._upsert

    def refuse(connection: Any, table: Any, rows: list[dict[str, Any]]) -> None:
        if rows and table.name == "statistics":
            raise DataError("INSERT", {}, Exception("value too large"))
        upsert(connection, table, rows)

    monkeypatch.setattr(recording, "_upsert", refuse)
    job = submit(database, A_SECOND_OR_TWO)
    await_true(lambda: row(database, job).finished_at)
    ended = row(database, job)
    assert (ended.status, ended.attempt) == ("succeeded", 1)
    assert ended.statistics_lost >= 2 * ended.steps // 10
    assert len(recorded(database, job)[2]) == 300


def test_a_job_whose_results_the_database_refuses_fails_and_the_next_one_runs(
    worker: Worker, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any) -> None:
        raise DataError("INSERT", {}, Exception("value too large"))

    with monkeypatch.context() as patched:
        patched.setattr(recording, "_insert_rows", refuse)
        job = submit(database, A_SECOND_OR_TWO)
        await_true(lambda: row(database, job).finished_at)
    assert (row(database, job).status, row(database, job).error["code"]) == ("failed", "not_recorded")
    after = submit(database, A_SECOND_OR_TWO)
    await_true(lambda: row(database, after).status == "succeeded")
