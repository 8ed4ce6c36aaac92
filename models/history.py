"""The typed history of a job: one event for each move, written in the move's own transaction."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, insert

from models.database import database_now
from models.outbox import tell
from models.tables import Event

INSERT_EVENT = insert(Event.__table__).values(at=database_now())  # type: ignore[arg-type]


def emit(connection: Connection, job_id: str, kind: str, attempt: int, **data: Any) -> None:
    """Adds to the job's history, and tells its webhooks."""
    emit_all(connection, job_id, attempt, [(kind, data)])


def emit_all(connection: Connection, job_id: str, attempt: int, events: Sequence[tuple[str, dict[str, Any]]]) -> None:
    """The same of several, in their order."""
    if events:
        connection.execute(INSERT_EVENT, [event_row(job_id, kind, attempt, data) for kind, data in events])
        tell(connection, job_id, [kind for kind, _ in events])


def event_row(job_id: str, kind: str, attempt: int, data: dict[str, Any]) -> dict[str, Any]:
    return {"job_id": job_id, "type": kind, "attempt": attempt, "data": data}
