"""`/v1/jobs/{id}/...`: what a client may ask of a job: stop, pause, resume, retry, clone, delete."""

import shutil
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Literal

from flask import Response, g, request
from pydantic import Field
from sqlalchemy import Connection

from models import artifacts, lifecycle, queries
from models.admission import admit
from models.definitions.base import Several, Strict
from models.definitions.job import Name, Priority, Tag
from models.idempotency import Key
from models.json_body import parse
from models.patches import PatchBody, patched, read_patch
from models.storage import StorageAway
from models.submission import CLONE, Submission, retry
from service.api.jobs import NEW_JOB, JobPath, answer_again, answer_job, answer_made, api, queue_job
from service.bodies import json_bytes, optional_body, read_body
from service.context import context, uploads
from service.once import KeyHeader, once
from service.openapi import Header, Query, answers, json_request, merge_request
from service.replies import JobReply
from service.room import require_room

REPLIES = answers(202, JobReply, 400, 404, 409, 413, 415, 422)


class CancelBody(Strict):
    """How to stop."""

    mode: Literal["graceful", "force"] = "graceful"
    """`graceful` stops after the step, `force` at once."""


class NoBody(Strict):
    """Nothing, or `{}`."""


class Changes(Strict):
    """What may change of a job. What is left out stays as it is."""

    name: Name = ""
    """For people."""
    tags: Annotated[Several[Tag], Field(max_length=50)] = ()
    """All of them: they take the place of those there are."""
    priority: Priority = 0
    """Higher is claimed first."""


class MatchHeader(Header):
    if_match: Annotated[str | None, Field(alias="If-Match")] = None
    """ETag of the job as it was read: if it was changed since, the answer is 412 and nothing is done. Versions are
    compared as they are, though the ETag is weak."""


NOTHING = json_request(NoBody, {"nothing": {}}, required=False)


@api.post(
    "/v1/jobs/<job_id>/cancel",
    summary="Stop a job",
    request_body=json_request(CancelBody, {"after this step": {"mode": "graceful"}, "now": {"mode": "force"}}, False),
    responses=REPLIES,
)
def cancel_job(path: JobPath, query: Query) -> Response:
    """A waiting or paused job is cancelled at once, a running one by its worker."""
    body = optional_body(CancelBody)
    return _moved(path.job_id, lambda connection: lifecycle.cancel(connection, path.job_id, g.sees, body.mode))


@api.post("/v1/jobs/<job_id>/pause", summary="Pause a job", request_body=NOTHING, responses=REPLIES)
def pause_job(path: JobPath, query: Query) -> Response:
    """A waiting job is `paused` at once; a running one is `pausing` until its worker has written a checkpoint. A paused
    job holds no slot, and waits for `resume`."""
    optional_body(NoBody)
    return _moved(path.job_id, lambda connection: lifecycle.pause(connection, path.job_id, g.sees))


@api.post("/v1/jobs/<job_id>/resume", summary="Resume a paused job", request_body=NOTHING, responses=REPLIES)
def resume_job(path: JobPath, query: Query) -> Response:
    """Puts it back into the queue, in the place it had; it goes on from its checkpoint. It was accepted once, and so is
    never refused for the number of those that wait."""
    optional_body(NoBody)
    reply = _moved(path.job_id, lambda connection: lifecycle.resume(connection, path.job_id, g.sees))
    context().doorbell.ring()
    return reply


@api.post("/v1/jobs/<job_id>/retry", summary="Run a failed job again", request_body=NOTHING, responses=NEW_JOB)
def retry_job(path: JobPath, query: Query, header: KeyHeader) -> Response:
    """A new job of the same definition, child of one that failed or was cancelled; as long as that child has not ended,
    the answer is the same child."""
    return once(header, lambda key: _retry(path.job_id, key), answer_again)


def _retry(job_id: str, key: Key | None) -> Response:
    optional_body(NoBody)
    shared = context()
    require_room(g.owner)
    with shared.database.write() as connection:
        child = retry(connection, job_id, g.sees, shared.settings.queued_jobs, key)
    shared.doorbell.ring()
    return answer_made(child)


CLONES = json_request(
    PatchBody,
    {
        "another rate": {"patch": [{"op": "replace", "path": "/training/optimizer/learning_rate", "value": 0.01}]},
        "the same again": {"patch": []},
    },
)


@api.post(
    "/v1/jobs/<job_id>/clones",
    summary="A new job from this definition, with a JSON Patch",
    request_body=CLONES,
    responses=NEW_JOB,
)
def clone_job(path: JobPath, query: Query, header: KeyHeader) -> Response:
    """Applies a patch (RFC 6902) to the job's definition as GET shows it, and submits what comes of it. A patch that
    does not apply is refused with the place of its operation, `/patch/i`; problems of the patched definition have their
    places in that. The new job has this one for its `parent`."""
    return once(header, lambda key: _clone(path.job_id, key), answer_again)


def _clone(job_id: str, key: Key | None) -> Response:
    shared = context()
    operations = read_patch(parse(json_bytes()))
    with shared.database.read() as connection:
        parent = queries.find_job(connection, job_id, g.sees)
    body = patched(parent.definition, operations, shared.settings.body_bytes)
    admitted = admit(body, shared.capacity.now(), uploads(parent.owner))
    return queue_job(Submission(admitted.definition, parent.owner, admitted.memory_bytes, parent.id, CLONE, key=key))


@api.patch(
    "/v1/jobs/<job_id>",
    summary="Change name, tags or priority",
    request_body=merge_request(
        Changes, {"a name and tags": {"name": "digits", "tags": ["best"]}, "sooner": {"priority": 5}}
    ),
    responses=answers(200, JobReply, 400, 404, 409, 412, 413, 415, 422),
)
def change_job(path: JobPath, query: Query, header: MatchHeader) -> Response:
    """A JSON Merge Patch of these three; nothing else of a job can be changed. Of a job that waits, a new priority
    decides from now on; of one that has ended it is 409. Clones and retries begin with the name, tags and priority of
    the definition."""
    changes = read_body(Changes).model_dump(exclude_unset=True, mode="json")
    with context().database.write() as connection:
        lifecycle.rename(connection, path.job_id, g.sees, changes, lambda version: _matches(header, version))
    with context().database.read() as connection:
        return answer_job(connection, path.job_id, 200)


def _matches(header: MatchHeader, version: int) -> bool:
    return header.if_match is None or request.if_match.contains_weak(str(version))


@api.delete(
    "/v1/jobs/<job_id>",
    summary="Delete a job that has ended",
    responses=answers(204, None, 404, 409, 422),
)
def delete_job(path: JobPath, query: Query) -> Response:
    """With its history, numbers, checkpoints and artifacts. One that has not ended is a 409: cancel it first."""
    shared = context()
    with shared.database.write() as connection:
        lifecycle.remove(connection, path.job_id, g.sees)
    for kept in (path.job_id, f"{path.job_id}/diagnosis"):
        shared.ended.forget(kept)
    # The workers remove what is left.
    with suppress(StorageAway, OSError):
        artifacts.remove(shared.storage, path.job_id)
    shutil.rmtree(shared.settings.data.absolute() / "checkpoints" / path.job_id, ignore_errors=True)
    return Response(status=204)


def _moved(job_id: str, move: Callable[[Connection], None]) -> Response:
    """The job after a move."""
    database = context().database
    with database.write() as connection:
        move(connection)
    with database.read() as connection:
        return answer_job(connection, job_id, 202)
