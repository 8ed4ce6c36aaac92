"""`/v1/workers`: who works, on which device, since when."""

from typing import Any

from flask import Response, g, jsonify

from models.fleet import Crew, Place, read_fleet
from models.owners import EVERYBODY
from service.context import context
from service.openapi import Query, answers, blueprint
from service.replies import WorkersReply
from service.times import rfc3339

api = blueprint("workers", "Who works, on which devices, and what waits for them.")


@api.get("/v1/workers", summary="All workers and their slots", responses=answers(200, WorkersReply, 422))
def list_workers(query: Query) -> Response:
    """Those that were heard of within a day. Of jobs of others it only says that a slot is busy."""
    shared = context()
    with shared.database.read() as connection:
        fleet = read_fleet(connection, shared.settings.lease_seconds)
    return jsonify(items=[show_worker(crew) for crew in fleet.crews], next=None)


def show_worker(crew: Crew) -> dict[str, Any]:
    row = crew.row
    return {
        "id": row.id,
        "host": row.host,
        "pid": row.pid,
        "alive": crew.alive,
        "started_at": rfc3339(row.started_at),
        "heartbeat_at": rfc3339(row.heartbeat_at),
        "memory_bytes": row.memory_bytes,
        "device_memory_bytes": crew.memory,
        "bfloat16": bool(row.bfloat16),
        "slots": [_slot(place) for place in crew.places],
    }


def _slot(place: Place) -> dict[str, Any]:
    job = place.job
    mine = job is not None and g.sees in (job.owner, EVERYBODY)
    since = rfc3339(job.claimed_at) if job else None
    return {"device": place.device, "busy": job is not None, "job": job.id if job and mine else None, "since": since}
