"""`/v1/queue`: what waits, in which order, and for what."""

import math
from typing import Any

from flask import Response, g, jsonify
from sqlalchemy import Row

from models import queries
from models.ids import is_id
from service.api.workers import api
from service.context import context
from service.cursors import decode_cursor, encode_cursor, wrong_cursor
from service.openapi import Page, answers
from service.replies import QueueReply
from service.times import rfc3339


@api.get("/v1/queue", summary="Jobs that wait, next one first", responses=answers(200, QueueReply, 422))
def list_queue(query: Page) -> Response:
    """Your waiting jobs in the order in which they will be claimed. The totals count those of all owners."""
    shared = context()
    with shared.database.read() as connection:
        rows = queries.queued_jobs(connection, g.sees, _place_of(query.after), query.limit + 1)
        places = shared.queue.places(connection, rows)
        totals = shared.queue.totals(connection)
    items = [show_queued(row, place) for row, place in zip(rows[: query.limit], places, strict=False)]
    last = rows[query.limit - 1] if len(rows) > query.limit else None
    return jsonify(items=items, next=last and encode_cursor(f"{last.rank!r} {last.id}"), **totals)


def show_queued(row: Row[Any], place: dict[str, Any] | None) -> dict[str, Any]:
    described = {"id": row.id, "name": row.name, "priority": row.priority, "queued_at": rfc3339(row.queued_at)}
    return described | (place or {})


def _place_of(cursor: str | None) -> tuple[float, str] | None:
    if (text := decode_cursor(cursor)) is None:
        return None
    rank, _, job_id = text.partition(" ")
    try:
        number = float(rank)
    except ValueError:
        raise wrong_cursor() from None
    if not (math.isfinite(number) and is_id(job_id)):
        raise wrong_cursor()
    return number, job_id
