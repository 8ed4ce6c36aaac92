"""The register of workers: who they are, what they offer, and when they were last heard of."""

import os
import socket
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from models.database import database_now
from models.machine import is_there, memory_bytes, name
from models.tables import Worker

FORGET_SECONDS = 86_400
_workers = Worker.__table__.c
ALIVE = (
    select(Worker.__table__)
    .where(_workers.heartbeat_at >= database_now() - bindparam("within_seconds"))
    .order_by(_workers.id)
)


@dataclass(frozen=True)
class Registration:
    """What a worker says of itself."""

    id: str
    slots: tuple[str, ...]
    """The device of each slot."""
    device_memory_bytes: int
    """Of the smallest device."""
    bfloat16: bool
    """Whether the devices of its slots compute in bfloat16."""

    def row(self) -> dict[str, Any]:
        machine = {"machine": name(), "host": socket.gethostname(), "pid": os.getpid(), "memory_bytes": memory_bytes()}
        return asdict(self) | {"slots": list(self.slots)} | machine


def beat(connection: Connection, worker: Registration) -> None:
    """The worker lives. One that is not in the register enters it, and forgets those that were not heard of for a
    day."""
    lives = update(Worker).where(Worker.id == worker.id).values(heartbeat_at=database_now())
    if connection.execute(lives).rowcount:
        return
    connection.execute(delete(Worker).where(Worker.heartbeat_at < database_now() - FORGET_SECONDS))
    times = {"started_at": database_now(), "heartbeat_at": database_now()}
    connection.execute(insert(Worker).values(worker.row() | times))


def unregister(connection: Connection, worker_id: str) -> None:
    connection.execute(delete(Worker).where(Worker.id == worker_id))


def bury(connection: Connection) -> list[str]:
    """Takes the workers of this machine out of the register whose process is gone, and gives their ids."""
    here = connection.execute(select(Worker.id, Worker.pid).where(Worker.machine == name())).all()
    gone = [row.id for row in here if not is_there(row.pid)]
    if gone:
        connection.execute(delete(Worker).where(Worker.id.in_(gone)))
    return gone


def alive(connection: Connection, within_seconds: float) -> list[dict[str, Any]]:
    """The workers that were heard of lately."""
    return [dict(row._mapping) for row in connection.execute(ALIVE, {"within_seconds": within_seconds})]


def registered(connection: Connection) -> list[dict[str, Any]]:
    """All workers in the register, also those that were not heard of lately."""
    return [dict(row._mapping) for row in connection.execute(select(Worker))]
