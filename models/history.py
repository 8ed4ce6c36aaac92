"""The typed history of a job: one event for each move, written in the move's own transaction."""

from typing import Any

from sqlalchemy import Connection, insert

from models.database import database_now
from models.tables import Event

INSERT_EVENT = insert(Event.__table__).values(at=database_now())  # type: ignore[arg-type]


def emit(connection: Connection, job_id: str, kind: str, attempt: int, **data: Any) -> None:
    """Adds to the job's history."""
    connection.execute(INSERT_EVENT, event_row(job_id, kind, attempt, data))


def event_row(job_id: str, kind: str, attempt: int, data: dict[str, Any]) -> dict[str, Any]:
    return {"job_id": job_id, "type": kind, "attempt": attempt, "data": data}
