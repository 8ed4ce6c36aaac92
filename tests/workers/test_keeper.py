"""The keeper of a worker that has nothing to do."""

import subprocess
import threading
from pathlib import Path
from unittest.mock import Mock

from sqlalchemy import update

from models import workers
from models.database import Database
from models.settings import Settings
from models.tables import Worker
from models.workers import Registration
from tests.models.test_tasks import a_job_that_succeeded, take
from workers.keeper import Keeper


def registration(name: str) -> Registration:
    return Registration(name, ("cpu",), 2**34, True)


def test_a_task_of_a_worker_that_died_wakes_who_could_do_it(database: Database, tmp_path: Path) -> None:
    a_job_that_succeeded(database)
    take(database, "wrk_dead")
    gone = subprocess.Popen(["true"])
    gone.wait()
    with database.write() as connection:
        workers.beat(connection, registration("wrk_dead"))
        connection.execute(update(Worker).values(pid=gone.pid))
    rung = threading.Event()
    settings = Settings(data=tmp_path, sweep_seconds=0.1, lease_seconds=3)
    keeper = Keeper(
        Mock(worker_id="wrk_here", runs=list), registration("wrk_here"), database, settings, ring_lanes=rung.set
    )
    keeper.start()
    try:
        assert rung.wait(10)
    finally:
        keeper.stop()
    assert take(database, "wrk_here").attempt == 2
