"""`/healthz` (alive) and `/readyz` (can do its work)."""

from flask import Response, jsonify
from sqlalchemy import Connection, inspect, select, text

from models.disk import is_full
from service.broker import broker_answers
from service.context import context
from service.errors import problem
from service.openapi import answers, blueprint
from service.replies import HealthReply, ReadyReply

api = blueprint("health", "For load balancers and health checks; needs no key.", public=True)


@api.get("/healthz", summary="The process is alive", responses={200: HealthReply})
def healthz() -> Response:
    """Asks nothing of database or broker: a process that answers need not be started again."""
    return jsonify(status="ok")


@api.get(
    "/readyz", summary="Database, broker and storage answer, migrations are current", responses=answers(200, ReadyReply)
)
def readyz() -> Response:
    """503 without the database or the storage. Without the broker it is ready and `degraded`: jobs are accepted, and
    found later. With a `disk` that is nearly full it answers all questions, but takes no job and no
    upload."""
    shared = context()
    with shared.database.read() as connection:
        revision = _revision(connection)
    if revision != shared.schema:
        detail = (
            f"The database is at revision {revision}, this service needs {shared.schema}: python -m migrations.migrate"
        )
        return problem(503, "migrations_missing", detail)
    shared.storage.check()
    away = {"broker": not broker_answers(shared.settings), "disk": is_full(shared.settings)}
    degraded = [name for name, is_away in away.items() if is_away]
    return jsonify(status="ready", degraded=degraded)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(select(text("version_num")).select_from(text("alembic_version")))
    return revision
