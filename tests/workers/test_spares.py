"""Spare runners, forked by a real fork server: they wait, are replaced, and leave with their supervisor."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest

from models import claims, lifecycle, submission, workers
from models.database import Database
from models.definitions.job import JobDefinition
from models.settings import Settings
from models.tables import Job
from tests import waiting
from tests.factories import an_offer
from workers import process
from workers.app import create_worker
from workers.devices import Slot
from workers.run import Run
from workers.scheduler import Scheduler
from workers.spares import Spares

SMALL = {"network": {"family": "dnn", "hidden": [4]}, "data": {"dataset": "xor"}, "training": {"epochs": 1}}
LONG = SMALL | {"training": {"epochs": 1_000_000}}
await_true = partial(waiting.await_true, seconds=60)
"""With the time that a process takes to import torch."""

SUPERVISOR = """
import time
from workers import process
from workers.spares import Spares

if __name__ == "__main__":
    process.start_server()
    spares = Spares(2, rehearse=True)
    spares.fill()
    spares.await_ready()
    print(*spares.ready(), flush=True)
    time.sleep(600)
"""


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    return Settings(data=tmp_path, database_url=database_url, slots=1, idle_poll_seconds=0.1, max_attempts=1)


@pytest.fixture
def scheduler(settings: Settings, database: Database) -> Iterator[Scheduler]:
    """A worker's scheduler with one slot, warm and at work."""
    process.start_server()
    scheduler = Scheduler("wrk_here", [Slot(0, "cpu")], database, settings)
    scheduler.warm()
    scheduler.start()
    yield scheduler
    scheduler.stop()


def submit(database: Database, plain: dict[str, Any]) -> str:
    with database.write() as connection:
        return submission.submit(connection, JobDefinition.model_validate(plain), "me", 100)


def row(database: Database, job_id: str) -> Any:
    with database.read() as connection:
        return connection.execute(Job.__table__.select().where(Job.id == job_id)).one()


def run(scheduler: Scheduler, database: Database, plain: dict[str, Any]) -> Any:
    """The job's row once it has ended."""
    job_id = submit(database, plain)
    scheduler.ring()
    await_true(lambda: row(database, job_id).finished_at)
    return row(database, job_id)


def exists(pid: int) -> bool:
    """Whether a process is there, and is not merely waiting to be reaped."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def the_spare(scheduler: Scheduler) -> int:
    """The process that waits for the next job."""
    await_true(scheduler.spares.ready)
    (pid,) = scheduler.spares.ready()
    return pid


@pytest.fixture
def backend() -> str:
    """Which database it is makes no difference to a process."""
    return "sqlite"


def test_a_worker_registers_when_the_fork_server_has_torch_and_a_spare_waits(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    process.start_server()
    made: list[Scheduler] = []
    seen: list[tuple[bool, int]] = []

    class Seen(Scheduler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            made.append(self)

    def beat(*arguments: Any) -> None:
        server = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
        seen.append(("libtorch" in Path(f"/proc/{server}/maps").read_text(), len(made[0].spares.ready())))
        real(*arguments)

    real = workers.beat
    monkeypatch.setattr(workers, "beat", beat)
    monkeypatch.setattr("workers.app.Scheduler", Seen)
    # The stop's deadline would end these tests.
    monkeypatch.setattr("workers.leaving._end", lambda: None)
    (step_type,) = create_worker(settings).steps["worker"]
    step = step_type(None)
    step.start(None)
    step.stop(None)
    assert seen == [(True, 1)]


def test_spares_leave_with_a_supervisor_that_is_killed() -> None:
    line, root = [sys.executable, "-c", SUPERVISOR], Path(__file__).parents[2]
    with subprocess.Popen(line, cwd=root, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        spares = [int(pid) for pid in supervisor.stdout.readline().split()]
        assert len(spares) == 2
        assert all(map(exists, spares))
        supervisor.kill()
    await_true(lambda: not any(map(exists, spares)))


def test_a_spare_that_is_killed_is_replaced_and_the_next_job_runs(scheduler: Scheduler, database: Database) -> None:
    killed = the_spare(scheduler)
    os.kill(killed, signal.SIGKILL)
    await_true(lambda: scheduler.spares.ready() not in ([], [killed]))
    job = run(scheduler, database, SMALL)
    assert (job.status, job.attempt) == ("succeeded", 1)


def test_each_job_trains_in_a_process_of_its_own_that_ends_with_it(scheduler: Scheduler, database: Database) -> None:
    pids = []
    for _ in range(3):
        pids.append(the_spare(scheduler))
        assert run(scheduler, database, SMALL).status == "succeeded"
        await_true(lambda: not exists(pids[-1]))
    assert len(set(pids)) == 3


def test_a_spare_becomes_the_runner_of_a_job_in_a_session_of_its_own(scheduler: Scheduler, database: Database) -> None:
    spare = the_spare(scheduler)
    assert os.getsid(spare) != spare
    job_id = submit(database, LONG)
    scheduler.ring()
    await_true(lambda: row(database, job_id).first_step_at)
    assert [run.pid for run in scheduler.runs()] == [spare]
    assert os.getsid(spare) == spare


def test_a_job_after_a_crashed_one_runs(scheduler: Scheduler, database: Database) -> None:
    crashing = submit(database, LONG)
    scheduler.ring()
    await_true(lambda: row(database, crashing).first_step_at)
    (crashed,) = scheduler.runs()
    os.kill(crashed.pid, signal.SIGSEGV)
    await_true(lambda: row(database, crashing).finished_at)
    assert row(database, crashing).error["code"] == "worker_lost"
    assert run(scheduler, database, SMALL).status == "succeeded"


@pytest.mark.parametrize(
    ("device", "cancelled", "free"), [("cpu", False, True), ("cpu", True, False), ("cuda:0", False, False)]
)
def test_a_slot_is_free_before_its_process_is_gone_only_on_the_cpu_and_after_an_end_in_peace(
    settings: Settings, database: Database, device: str, cancelled: bool, free: bool
) -> None:
    process.start_server()
    spares = Spares(1, rehearse=False)
    spares.fill()
    job_id = submit(database, SMALL | {"resources": {"device": "cpu"}})
    with database.write() as connection:
        claim = claims.claim(connection, "wrk_here", an_offer(device), 60)
    assert claim is not None
    attempt = Run(claim, spares.take(), database, settings)
    if cancelled:
        # Before it has begun, which it hears all the same.
        with database.write() as connection:
            lifecycle.cancel(connection, job_id, "me", "graceful")
        attempt.cancel("graceful")
    assert attempt.run() is free
    attempt.close()
    assert not exists(attempt.pid)
    assert row(database, job_id).status == ("cancelled" if cancelled else "succeeded")
