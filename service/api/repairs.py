"""Repairs of a job by the remedies of its diagnosis, and what became of all that were tried."""

from typing import Annotated

from flask import Response, g, jsonify
from pydantic import Field

from models.definitions.base import Strict
from models.diagnosed import diagnosed
from models.idempotency import Key
from models.repairs import admit_repair, choose, queue_repair, remedy_rows
from service.api.jobs import NEW_JOB, JobPath, answer_again, answer_made
from service.bodies import optional_body
from service.context import context, uploads
from service.once import KeyHeader, once
from service.openapi import Query, answers, blueprint, json_request
from service.replies import RemediesReply
from service.room import require_room

api = blueprint("repairs", "Remedies as new jobs.")


class RepairBody(Strict):
    """Which remedy."""

    remedy: Annotated[str, Field(max_length=200)] | None = None
    """Its id in the diagnosis; by default the first of the first finding that has one, faults before warnings."""


@api.post(
    "/v1/jobs/<job_id>/repairs",
    summary="A new job with a remedy applied",
    request_body=json_request(RepairBody, {"the first remedy": {}, "this remedy": {"remedy": "relu_he"}}, False),
    responses=NEW_JOB,
)
def repair_job(path: JobPath, query: Query, header: KeyHeader) -> Response:
    """The remedy's patch on the definition of a job that has ended, admitted like any other; the new job has this one
    for its `parent`. As long as it has not ended, the same call is answered with the same child. Without a remedy it is
    409 `no_remedy`. Once it has ended, its diagnosis says in `repair` what came of it."""
    return once(header, lambda key: _repair(path.job_id, key), answer_again)


def _repair(job_id: str, key: Key | None) -> Response:
    body = optional_body(RepairBody)
    shared = context()
    with shared.database.read() as connection:
        found = diagnosed(connection, job_id, g.sees)
    choice = choose(found, body.remedy)
    capacity, most_bytes = shared.capacity.now(), shared.settings.body_bytes
    admitted = admit_repair(found.job.definition, choice, capacity, most_bytes, uploads(found.job.owner))
    require_room(found.job.owner)
    with shared.database.write() as connection:
        child = queue_repair(connection, found, g.sees, choice, admitted, shared.settings.queued_jobs, key)
    shared.doorbell.ring()
    return answer_made(child)


@api.get("/v1/remedies", summary="What came of the remedies tried", responses=answers(200, RemediesReply, 422))
def list_remedies(query: Query) -> Response:
    """Of your repairs, by remedy and finding. `ended` counts those that say something of their remedy: not the
    cancelled, nor those that infrastructure failed."""
    with context().database.read() as connection:
        return jsonify(items=remedy_rows(connection, g.sees), next=None)
