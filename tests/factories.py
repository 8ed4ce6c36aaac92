"""Fills in what a test does not care about."""

from typing import Any

from sqlalchemy import select, update

from models.claims import Claim, Offer, claim
from models.database import Database, lease_now
from models.definitions.job import JobDefinition
from models.submission import submit
from models.tables import Event, Job

OWNER = "key_test"


def a_definition(**changes: Any) -> JobDefinition:
    """A small, valid job; `changes` replace its top-level fields."""
    plain = {
        "network": {"family": "dnn", "hidden": [4]},
        "data": {"dataset": "xor", "parameters": {}},
        "training": {"epochs": 2},
    }
    return JobDefinition.model_validate(plain | changes)


def a_queued_job(database: Database, **changes: Any) -> str:
    with database.write() as connection:
        return submit(connection, a_definition(**changes), OWNER, most_queued=1000)


def a_claim(database: Database, worker: str = "wrk_a", device: str = "cpu", lease: float = 60) -> Claim:
    with database.write() as connection:
        taken = claim(connection, worker, an_offer(device), lease)
    assert taken is not None
    return taken


def an_offer(device: str = "cpu", slots: int = 1, free: int = 1, memory: int = 2**40) -> Offer:
    """Of a worker with so many slots, of which `free` are."""
    return Offer(device, (device,) * free, slots, memory, memory)


def row_of(database: Database, job_id: str) -> Any:
    with database.read() as connection:
        return connection.execute(select(Job.__table__).where(Job.id == job_id)).one()


def event_types(database: Database, job_id: str) -> list[str]:
    with database.read() as connection:
        query = select(Event.type).where(Event.job_id == job_id).order_by(Event.id)
        return list(connection.scalars(query))


def expire_lease(database: Database, job_id: str) -> None:
    """As if its worker had not been heard of for a while."""
    with database.write() as connection:
        connection.execute(update(Job).where(Job.id == job_id).values(lease_until=lease_now() - 1))
