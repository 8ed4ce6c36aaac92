"""`/v1/jobs/{id}/evaluations`: how good a model is, on its validation part and on other data."""

from collections.abc import Callable
from typing import Annotated, Any

from flask import Response, g, jsonify
from pydantic import AfterValidator
from sqlalchemy import Row

from models import artifacts, queries, tasks
from models.artifacts import CHECKPOINT, State
from models.errors import NoModel, NotFound
from models.evaluations import EvaluationBody, admit_evaluation
from models.idempotency import Key, keep_one
from models.ids import is_id
from models.json_body import parse
from models.states import Status
from models.tasks import Kind
from service.api.jobs import JobPath
from service.bodies import json_bytes
from service.context import context, uploads
from service.cursors import decode_cursor, encode_cursor, wrong_cursor
from service.once import KeyHeader, once
from service.openapi import Page, Query, answers, blueprint, json_request
from service.replies import EvaluationReply, EvaluationsReply
from service.times import rfc3339

api = blueprint("evaluations", "How good a model is.")

RETRY_SECONDS = 1
Show = Callable[[Row[Any]], dict[str, Any]]
SHOWN = ("dataset", "parameters", "part")
"""Of a request."""


def _task_id(text: str) -> str:
    if not is_id(text):
        raise NotFound("There is no such task.")
    return text


class TaskPath(JobPath):
    task_id: Annotated[str, AfterValidator(_task_id)]
    """As in the list."""


EXAMPLES = {
    "an uploaded set": {"dataset": "dat_01jz8k3v9q4r5s6t7v8w9x0y1z"},
    "other noise": {"dataset": "circles", "parameters": {"noise": 0.3, "seed": 1}},
}


@api.post(
    "/v1/jobs/<job_id>/evaluations",
    summary="Evaluate the model on another data set",
    request_body=json_request(EvaluationBody, EXAMPLES),
    responses=answers(202, EvaluationReply, 400, 404, 409, 413, 415, 422, 429) | {200: EvaluationReply},
)
def create_evaluation(path: JobPath, query: Query, header: KeyHeader) -> Response:
    """A worker does it, beside the jobs: follow `Location` until `status` is `succeeded` or `failed`."""
    return once(
        header,
        lambda key: _create(path.job_id, key),
        lambda task_id: _answer_made(path.job_id, task_id, 200),
    )


def _create(job_id: str, key: Key | None) -> Response:
    shared = context()
    value = parse(json_bytes())
    with shared.database.read() as connection:
        row = artifacts.find_file(connection, job_id, g.sees, CHECKPOINT)
    require_model(row)
    request = admit_evaluation(row.definition, value, uploads(row.owner))
    with shared.database.write() as connection:
        task_id = tasks.create(connection, job_id, Kind.EVALUATION, request)
        keep_one(connection, key, task_id)
    shared.doorbell.ring()
    return _answer_made(job_id, task_id, 202)


def _answer_made(job_id: str, task_id: str, status: int) -> Response:
    with context().database.read() as connection:
        task = tasks.find(connection, job_id, g.sees, Kind.EVALUATION, task_id)
    reply = jsonify(show_task(task))
    reply.status_code = status
    reply.headers["Location"] = f"/v1/jobs/{job_id}/evaluations/{task_id}"
    return reply


@api.get("/v1/jobs/<job_id>/evaluations", summary="All evaluations", responses=answers(200, EvaluationsReply, 404, 422))
def list_evaluations(path: JobPath, query: Page) -> Response:
    """Newest first; the last one is the job's own, on its validation part with the weights of the best epoch."""
    return list_tasks(path.job_id, query, Kind.EVALUATION, show_task)


@api.get(
    "/v1/jobs/<job_id>/evaluations/<task_id>",
    summary="One evaluation",
    responses=answers(200, EvaluationReply, 404, 422),
)
def get_evaluation(path: TaskPath, query: Query) -> Response:
    """`Retry-After` while it waits or runs."""
    return answer_task(path, Kind.EVALUATION, show_task)


def require_model(row: Any) -> None:
    """
    Raises:
        NoModel
    """
    if row.status != Status.SUCCEEDED:
        raise NoModel(f"The job is {row.status}; only one that has succeeded has a model.")
    if row.state != State.READY:
        raise NoModel(row.reason or "The job ended before models were kept; train it again with POST .../clones.")


def list_tasks(job_id: str, query: Page, kind: Kind, show: Show) -> Response:
    """A page of the tasks of a job."""
    before = decode_cursor(query.after)
    if before is not None and not is_id(before):
        raise wrong_cursor()
    with context().database.read() as connection:
        queries.find_version(connection, job_id, g.sees)
        rows = tasks.tasks_of(connection, job_id, g.sees, kind, before, query.limit + 1)
    items = [show(row) for row in rows[: query.limit]]
    more = len(rows) > query.limit
    return jsonify(items=items, next=encode_cursor(items[-1]["id"]) if more else None)


def answer_task(path: TaskPath, kind: Kind, show: Show) -> Response:
    """One task."""
    with context().database.read() as connection:
        row = tasks.find(connection, path.job_id, g.sees, kind, path.task_id)
    reply = jsonify(show(row))
    if row.finished_at is None:
        reply.headers["Retry-After"] = str(RETRY_SECONDS)
    return reply


def show_task(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": row.id,
        "job": row.job_id,
        "status": row.status,
        "request": {name: row.request[name] for name in SHOWN if name in row.request},
        "result": row.result,
        "error": row.error,
        "created_at": rfc3339(row.created_at),
        "started_at": rfc3339(row.started_at),
        "finished_at": rfc3339(row.finished_at),
    }
