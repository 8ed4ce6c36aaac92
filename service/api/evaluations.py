"""`/v1/jobs/{id}/evaluations`: how good a model is, on its validation part and on other data."""

from flask import Response

from models import tasks
from models.evaluations import EvaluationBody, admit_evaluation
from models.idempotency import Key, keep_one
from models.json_body import parse
from models.tasks import Kind
from service.api.jobs import JobPath
from service.api.tasks import TaskPath, Tasks
from service.bodies import json_bytes
from service.context import context, uploads
from service.once import KeyHeader, once
from service.openapi import Page, Query, answers, blueprint, json_request
from service.replies import EvaluationReply, EvaluationsReply
from service.usable_model import kept_checkpoint

api = blueprint("evaluations", "How good a model is.")

EVALUATIONS = Tasks(Kind.EVALUATION, "evaluations")
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
        lambda task_id: EVALUATIONS.answer_made(path.job_id, task_id, 200),
    )


def _create(job_id: str, key: Key | None) -> Response:
    shared = context()
    value = parse(json_bytes())
    row = kept_checkpoint(job_id)
    request = admit_evaluation(row.definition, value, uploads(row.owner))
    with shared.database.write() as connection:
        task_id = tasks.create(connection, job_id, Kind.EVALUATION, request)
        keep_one(connection, key, task_id)
    shared.doorbell.ring()
    return EVALUATIONS.answer_made(job_id, task_id)


@api.get("/v1/jobs/<job_id>/evaluations", summary="All evaluations", responses=answers(200, EvaluationsReply, 404, 422))
def list_evaluations(path: JobPath, query: Page) -> Response:
    """Newest first; the last one is the job's own, on its validation part with the weights of the best epoch."""
    return EVALUATIONS.answer_page(path.job_id, query)


@api.get(
    "/v1/jobs/<job_id>/evaluations/<task_id>",
    summary="One evaluation",
    responses=answers(200, EvaluationReply, 404, 422),
)
def get_evaluation(path: TaskPath, query: Query) -> Response:
    """`Retry-After` while it waits or runs."""
    return EVALUATIONS.answer_one(path)
