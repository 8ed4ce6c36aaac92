"""The register of workers: who they are, what they offer, and when they were last heard of."""

import os
import socket
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from models.database import database_now
from models.machine import memory_bytes
from models.tables import Worker

_workers = Worker.__table__.c
ALIVE = (
    select(Worker.__table__)
    .where(_workers.heartbeat_at >= database_now() - bindparam("within_seconds"))
    .order_by(_workers.id)
)


def register(connection: Connection, worker_id: str, slots: list[str], bfloat16: bool) -> None:
    """Makes a worker known, and forgets those that were not heard of for a day."""
    row = {"id": worker_id, "host": socket.gethostname(), "pid": os.getpid(), "slots": slots, "bfloat16": bfloat16}
    times = {"started_at": database_now(), "heartbeat_at": database_now()}
    connection.execute(delete(Worker).where(Worker.heartbeat_at < database_now() - 86_400))
    connection.execute(insert(Worker).values(row | times | {"memory_bytes": memory_bytes()}))


def beat(connection: Connection, worker_id: str) -> None:
    """The worker lives."""
    connection.execute(update(Worker).where(Worker.id == worker_id).values(heartbeat_at=database_now()))


def unregister(connection: Connection, worker_id: str) -> None:
    connection.execute(delete(Worker).where(Worker.id == worker_id))


def alive(connection: Connection, within_seconds: float) -> list[dict[str, Any]]:
    """The workers that were heard of lately."""
    return [dict(row._mapping) for row in connection.execute(ALIVE, {"within_seconds": within_seconds})]


def registered(connection: Connection) -> list[dict[str, Any]]:
    """All workers in the register, also those that were not heard of lately."""
    return [dict(row._mapping) for row in connection.execute(select(Worker))]
