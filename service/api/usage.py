"""`/v1/usage`: what the caller has used of its limits."""

from flask import Response, g, jsonify

from models.usage import usage_of
from service.context import context
from service.openapi import Query, answers, blueprint
from service.replies import UsageReply

api = blueprint("usage", "What you have used of your limits.")


@api.get("/v1/usage", summary="Limits, and what is used of them", responses=answers(200, UsageReply, 422))
def get_usage(query: Query) -> Response:
    """Requests are those of this key, all else is its owner's. A `limit` that is `null` is none."""
    shared = context()
    with shared.database.read() as connection:
        used = usage_of(connection, g.owner)
    settings, standing = shared.settings, g.standing
    requests = {"used": standing.used, "limit": standing.limit, "reset_seconds": standing.reset_seconds}
    seconds = {"used": round(used.device_seconds, 3), "limit": settings.device_seconds or None}
    return jsonify(
        key=g.caller.key,
        owner=g.owner,
        scopes=sorted(g.caller.scopes),
        requests_per_minute=requests,
        queued_jobs={"used": used.queued_jobs, "limit": settings.queued_jobs},
        stored_bytes={"used": used.stored_bytes, "limit": settings.stored_bytes or None},
        device_seconds=seconds | {"reset_seconds": used.day_ends_seconds},
    )
