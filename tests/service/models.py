"""Jobs that have succeeded, with files that a test makes up."""

from typing import Any

from sqlalchemy import update

from models import artifacts
from models.artifacts import Made
from models.database import Database
from models.recording import record
from models.reports import Ended, ModelKept
from models.storage import Storage
from models.tables import Job
from tests.factories import a_claim
from tests.service.conftest import Api


def a_succeeded_job(api: Api, database: Database, storage: Storage, files: dict[str, bytes], **changes: Any) -> str:
    """Its id; of the files those that are given are ready, the others pending."""
    job_id = str(api.post(**changes).json["id"])
    claim = a_claim(database)
    checkpoint = storage.write(artifacts.fresh_key(job_id, artifacts.CHECKPOINT), [b"a checkpoint"])
    made = [Made(name, storage.write(artifacts.fresh_key(job_id, name), [content])) for name, content in files.items()]
    with database.write() as connection:
        record(connection, claim, [Ended("succeeded", {}, 0.0, model=ModelKept(checkpoint))], 0.0, 1)
        artifacts.settle(connection, job_id, made)
    return job_id


def set_verdict(database: Database, job_id: str, verdict: str) -> None:
    with database.write() as connection:
        connection.execute(update(Job).where(Job.id == job_id).values(verdict=verdict))
