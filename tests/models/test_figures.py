"""What an operator watches is answered by indexes, however many jobs have ended; and an upgrade loses no job."""

import pytest
from alembic import command
from sqlalchemy import inspect

from migrations.migrate import configuration
from models import figures, tallies
from models.claims import claim
from models.database import Database
from tests.factories import a_queued_job, an_offer
from tests.models.test_hot_paths import explain

PLANS = {
    "what waits": (figures.WAITING, "ix_jobs_"),
    "what is under way": (figures.STATES, "ix_jobs_"),
    "tasks": (figures.TASKS, "ix_tasks_open"),
    "uploads": (figures.INGESTING, "ix_datasets_status"),
}


@pytest.mark.parametrize("question", PLANS)
def test_an_index_answers_what_is_watched(database: Database, question: str) -> None:
    asked, index = PLANS[question]
    with database.read() as connection:
        plan = explain(connection, asked.statement)
    assert index in plan, plan
    for whole in ("SCAN jobs", "SCAN tasks\n", "Seq Scan"):
        assert whole not in plan, plan


def test_a_job_that_waits_while_the_service_is_upgraded_is_run_after_it(database: Database, database_url: str) -> None:
    job = a_queued_job(database, priority=3)
    database.close()
    config = configuration(database_url)
    command.downgrade(config, "-1")
    command.upgrade(config, "head")
    with database.write() as connection:
        taken = claim(connection, "wrk_a", an_offer(), 60)
        assert taken is not None
        assert taken.job_id == job
        assert inspect(connection).has_table(tallies.Tally.__tablename__)
