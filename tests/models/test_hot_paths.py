"""What is asked often is answered by an index, by one statement, and without reading more than is asked for."""

import re

import numpy as np
import pytest
from sqlalchemy import Connection, Executable, insert, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, OperationalError

from models import queries, recording
from models.claims import CLAIMS, HOLDS, Claim
from models.database import Database, database_now
from models.errors import QueueFull
from models.figures import UNTOLD
from models.outbox import LISTENERS
from models.reports import Progress, Sampled
from models.series import STATISTICS, Chunk, Piece
from models.submission import COUNT_QUEUED, Submission, submit_all
from models.tables import Event, Job
from tests.factories import OWNER, a_claim, a_definition, a_queued_job
from tests.statements import statements

DIALECTS = {"sqlite": sqlite.dialect(), "postgresql": postgresql.dialect()}
PLANS = {
    "a claim on a CPU": (CLAIMS["cpu"], "ix_jobs_queue"),
    "a claim on a GPU": (CLAIMS["cuda"], "ix_jobs_queue"),
    "the queue": (queries.WAITING.statement, "ix_jobs_queue"),
    "how many wait": (COUNT_QUEUED, "ix_jobs_"),
    "what a worker holds": (HOLDS, "ix_jobs_worker"),
    "one job": (queries.FIND_JOB.statement, "jobs"),
    "its history": (queries.FIND_JOB.statement, "ix_events_history"),
    "all jobs of an owner": (queries.select_jobs(None), "ix_jobs_owner"),
    "a later page": (queries.select_jobs("job_1"), "ix_jobs_owner"),
    "a later page, oldest first": (queries.select_jobs("job_1", oldest_first=True), "ix_jobs_owner"),
    # Of no rows PostgreSQL takes those of an owner and those of all alike.
    "those of a status": (queries.select_jobs("job_1", "status"), "ix_jobs_(owner_)?status"),
    "those of a verdict": (queries.select_jobs("job_1", "verdict"), "ix_jobs_(owner_)?verdict"),
    "those with a finding": (queries.select_jobs("job_1", "finding"), "ix_findings_(code|all)"),
    "those with a finding, from the start": (queries.select_jobs(None, "finding"), "ix_findings_(code|all)"),
    "those of a status, of all owners": (queries.select_jobs("job_1", "status", of_all=True), "ix_jobs_status"),
    "those of a verdict, of all owners": (queries.select_jobs("job_1", "verdict", of_all=True), "ix_jobs_verdict"),
    "those with a finding, of all owners": (queries.select_jobs(None, "finding", of_all=True), "ix_findings_all"),
    "the children of a job": (queries.select_jobs("job_1", "parent"), "ix_jobs_parent"),
    "repairs beside a job": (queries.FIND_JOB.statement, "ix_jobs_repairs"),
    "findings beside a job": (queries.FIND_JOB.statement, "_findings"),
    "who is told of it": (LISTENERS.statement, "ix_webhooks_owner"),
    "the callbacks of it": (LISTENERS.statement, "ix_webhooks_job"),
    "how much is to be told": (UNTOLD.statement, "ix_deliveries_due"),
}


@pytest.mark.parametrize("question", PLANS)
def test_an_index_answers(database: Database, question: str) -> None:
    statement, index = PLANS[question]
    with database.read() as connection:
        plan = explain(connection, statement)
    assert re.search(index, plan), plan
    for whole in ("SCAN jobs", "SCAN events", "SCAN webhooks", "Seq Scan"):
        assert whole not in plan, plan
    # A claim sorts the owners, which are few.
    assert "claim" in question or not ("Sort" in plan or "TEMP B-TREE" in plan)


def test_a_job_with_many_epochs_shows_its_history_alone(database: Database) -> None:
    job = a_queued_job(database)
    a_claim(database)
    with database.write() as connection:
        row = {"job_id": job, "type": "job.epoch", "attempt": 1, "data": {}}
        connection.execute(insert(Event).values(at=database_now()), [row] * 100)
    with database.read() as connection:
        history = sorted(queries.find_job(connection, job, OWNER).history)
    assert [(kind, attempt) for _, kind, _, attempt in history] == [("job.queued", 0), ("job.started", 1)]


def test_a_job_is_read_by_one_statement(database: Database) -> None:
    job = a_queued_job(database)
    with database.read() as connection, statements(database) as executed:
        queries.find_job(connection, job, OWNER)
    assert len(executed) == 1


def test_a_question_gives_what_sqlalchemy_gives(database: Database) -> None:
    job = a_queued_job(database, name="é☃", tags=["a", "b"])
    a_claim(database)
    values = {"job_id": job, "owner": OWNER}
    with database.read() as connection:
        expected = connection.execute(queries.FIND_JOB.statement, values).one()._asdict()
        found = queries.FIND_JOB.one(connection, **values)._asdict()
        assert queries.FIND_JOB.one(connection, job_id="job_0", owner=OWNER) is None
    assert found.pop("now") == pytest.approx(expected.pop("now"), abs=5)
    assert found == expected
    assert found["definition"]["network"]["hidden"] == [4]


def test_a_question_on_a_lost_connection_is_an_error_of_sqlalchemy_and_the_next_has_another(database: Database) -> None:
    if database.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has no connection to lose")
    job = a_queued_job(database)
    with database.read() as connection:
        lost = connection.connection.driver_connection
        with database.engine.connect() as other:
            other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": lost.info.backend_pid})
        with pytest.raises(OperationalError):
            queries.find_job(connection, job, OWNER)
    with database.read() as connection:
        assert queries.find_job(connection, job, OWNER).id == job


def test_a_question_of_a_table_that_is_not_there_is_an_error_of_sqlalchemy(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    with pytest.raises(DBAPIError), database.read() as connection:
        queries.find_job(connection, "job_0", OWNER)
    database.close()


def test_a_series_is_read_in_slices_and_not_in_whole_chunks(database: Database) -> None:
    job = a_queued_job(database)
    mine = a_claim(database)
    chunks = [Chunk(np.arange(n, n + 5), np.full((5, len(STATISTICS), 40), n, np.float32)) for n in (0, 5, 10)]
    chunks.append(Chunk(np.arange(15, 17), np.arange(2 * 9 * 40, dtype=np.float32).reshape(2, 9, 40)))
    reports = [Sampled(int(c.steps[0]), int(c.steps[-1]), len(c.steps), c.encode()) for c in chunks]
    with database.write() as connection:
        recording.record(connection, mine, reports, 0.0)
    for statistic in STATISTICS:
        with database.read() as connection:
            pieces = queries.pieces(connection, job, "tensors", statistic, 7, None)
        assert pieces == [Piece.of(report.data, statistic) for report in reports[1:]]
        assert {len(piece.values) for piece in pieces} == {4 * 5 * 40, 4 * 2 * 40}
    with database.read() as connection:
        assert [len(p.decode()[0]) for p in queries.pieces(connection, job, "tensors", "std", 0, 4)] == [5]
        assert queries.pieces(connection, job, "layers", "gain", 0, None) == []


def test_a_full_queue_refuses_those_that_are_too_many_and_takes_the_others(database: Database) -> None:
    wanted = [Submission(a_definition(name=str(index)), owner) for index, owner in enumerate(("a", "b", "a", "a"))]
    with database.write() as connection:
        answers = submit_all(connection, wanted, most_queued=2)
        names = set(connection.scalars(select(Job.name)))
    assert [isinstance(answer, QueueFull) for answer in answers] == [False, False, False, True]
    assert names == {"0", "1", "2"}


def test_a_transaction_that_need_not_be_durable_does_not_wait_for_the_disk_and_the_next_does(
    database: Database,
) -> None:
    if database.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL's commits always wait")
    for durable, level in ((False, 1), (True, 2)):
        with database.write(durable) as connection:
            assert connection.scalar(text("PRAGMA synchronous")) == level


def test_a_transaction_that_raises_leaves_nothing(database: Database) -> None:
    job = a_queued_job(database)
    mine = a_claim(database)
    with pytest.raises(RuntimeError), database.write() as connection:
        record_and_fail(connection, mine)
    with database.read() as connection:
        assert queries.find_job(connection, job, OWNER).step == 0


def record_and_fail(connection: Connection, mine: Claim) -> None:
    recording.record(connection, mine, [Progress(7)], 0.0)
    raise RuntimeError


def explain(connection: Connection, statement: Executable) -> str:
    """How the database would answer it, were there many rows."""
    name = connection.dialect.name
    compiled = statement.compile(dialect=DIALECTS[name])  # type: ignore[attr-defined]
    values = dict.fromkeys(compiled.params, "1") | {
        key: value for key, value in compiled.params.items() if value is not None
    }
    values |= {key: 1 for key in ("lease_seconds", "most_queued", "limit") if key in values}
    rendered = str(statement.compile(dialect=DIALECTS[name]))  # type: ignore[attr-defined]
    if name == "sqlite":
        ordered = tuple(values[key] for key in compiled.positiontup)
        return "\n".join(str(row[3]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {rendered}", ordered))
    connection.exec_driver_sql("SET enable_seqscan = off")
    connection.exec_driver_sql("SET enable_sort = off")
    connection.exec_driver_sql("SET enable_bitmapscan = off")
    return "\n".join(row[0] for row in connection.exec_driver_sql(f"EXPLAIN {rendered}", values))
