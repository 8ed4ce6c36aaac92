"""`/v1/jobs/{id}/predictions/...`: predictions for all rows of a file, as tasks of a worker."""

from typing import Any, Literal

from flask import Response, g, request
from sqlalchemy import Row

from models import artifacts, tasks
from models.catalogue import shape_of_data
from models.definitions.job import JobDefinition
from models.errors import ModelPending, NotFound
from models.ingest.refusal import refused
from models.keys import Scope
from models.storage import Stored
from models.tasks import Kind
from service.api.artifacts import FILE
from service.api.jobs import JobPath
from service.api.tasks import TaskPath, Tasks, show_task
from service.auth import require_scope
from service.context import context
from service.datasets import read_options
from service.forms import OCTETS, or_octets
from service.openapi import BINARY, Page, Query, answers, blueprint
from service.ranges import answer_stored
from service.receiving import Receiver
from service.replies import PredictionListReply, PredictionReply
from service.room import require_room
from service.usable_model import usable_model

api = blueprint("predictions", "What a trained network says of new rows.")

VERDICT = "Descent-Verdict"
PARQUET = "application/vnd.apache.parquet"
CONTENT: dict[str, Any] = {OCTETS: {"schema": BINARY}, PARQUET: {"schema": BINARY}}
"""Generated clients look for the first one that they know, and take any."""
TYPES = {
    "text/csv", "application/csv", PARQUET, OCTETS, "multipart/form-data",
}  # fmt: skip
"""Of files of rows."""


class PredictionQuery(Query):
    allow_unhealthy: bool = False
    """Also of a job whose verdict is `unhealthy`."""
    delimiter: str | None = None
    """Of a CSV; default: the one of `,` `;` tab and `|` that fits."""
    encoding: str | None = None
    """Of a CSV; default: `utf-8`."""
    header: Literal["true", "false"] | None = None
    """Whether the first line of a CSV has the names of the columns; default: unless it is all numbers."""


def _shown(row: Row[Any]) -> dict[str, Any]:
    result = row.result
    if result is not None:
        file, url = result["file"], f"{PREDICTIONS.url(row.job_id, row.id)}/result"
        result = {"rows": result["rows"], "size": file["size"], "sha256": file["sha256"], "url": url}
    return show_task(row) | {"result": result}


PREDICTIONS = Tasks(Kind.PREDICTION, "predictions", _shown)


def predict_file(job_id: str, query: PredictionQuery) -> Response:
    """Stores the body and has a worker predict for its rows.

    Raises:
        Forbidden: the key may not store anything.
    """
    require_scope(Scope.WRITE)
    shared, g.unread = context(), True
    row = usable_model(job_id, query.allow_unhealthy)
    shape = shape_of_data(JobDefinition.model_validate(row.definition).data)
    if shape.kind != "table":
        detail = f"A file has a row in each line; the model takes rows of kind {shape.kind}. Send them as JSON."
        raise refused("no_table", detail, 'POST {"inputs": [ ... ]}.')
    require_room(row.owner)
    said = query.model_dump(include={"delimiter", "encoding", "header"}, exclude_none=True)
    options = read_options(said)
    receiver, key = Receiver(request, shared.settings.upload_bytes), artifacts.fresh_key(job_id, "rows")
    if request.mimetype == "multipart/form-data":
        stored = receiver.form(shared.storage, key, request.mimetype_params.get("boundary", ""))
    else:
        stored = receiver.raw(shared.storage, key)
    g.unread = False
    if not stored.size:
        shared.storage.delete(key)
        raise refused("empty_file", "The file is empty.", "Send a CSV or Parquet file with at least one row.")
    asked = {"upload": stored.plain(), "model": artifacts.stored_of(row).plain(), "options": options.plain()}
    try:
        with shared.database.write() as connection:
            task_id = tasks.create(connection, job_id, Kind.PREDICTION, asked | {"verdict": row.verdict})
    except BaseException:
        shared.storage.delete(key)
        raise
    shared.doorbell.ring()
    reply = PREDICTIONS.answer_made(job_id, task_id)
    reply.headers[VERDICT] = row.verdict
    return reply


@api.get(
    "/v1/jobs/<job_id>/predictions",
    summary="Predictions for files",
    responses=answers(200, PredictionListReply, 404, 422),
)
def list_predictions(path: JobPath, query: Page) -> Response:
    """Newest first."""
    return PREDICTIONS.answer_page(path.job_id, query)


@api.get(
    "/v1/jobs/<job_id>/predictions/<task_id>",
    summary="One prediction for a file",
    responses=answers(200, PredictionReply, 404, 422),
)
def get_prediction(path: TaskPath, query: Query) -> Response:
    """`Retry-After` while it waits or runs; then `result` has the `url` of the file."""
    return PREDICTIONS.answer_one(path)


@api.get(
    "/v1/jobs/<job_id>/predictions/<task_id>/result",
    summary="The file with the predictions",
    responses=answers(200, None, 404, 409, 416, 422) | {200: FILE | {"content": CONTENT}},
)
def get_result(path: TaskPath, query: Query) -> Response:
    """Parquet: the columns that were sent, and `predicted_class` and a `probability_...` for each class, or
    `predicted_value`; as `application/octet-stream` where `Accept` prefers that. Streamed, whole or a `Range` of it."""
    row = PREDICTIONS.find(path.job_id, path.task_id)
    if row.status == "failed":
        raise NotFound(f"The prediction failed: {row.error['detail']}")
    if row.result is None:
        raise ModelPending("The prediction is on its way.")
    stored = Stored(**row.result["file"])
    return answer_stored(context().storage, stored, or_octets(PARQUET), artifacts.PREDICTIONS, row.finished_at)


@api.delete(
    "/v1/jobs/<job_id>/predictions/<task_id>",
    summary="Delete a prediction for a file",
    responses=answers(204, None, 404, 422),
)
def delete_prediction(path: TaskPath, query: Query) -> Response:
    """With its result; one that runs is given up."""
    shared = context()
    with shared.database.write() as connection:
        row = tasks.find(connection, path.job_id, g.sees, Kind.PREDICTION, path.task_id)
        tasks.forget(connection, row.id)
    for stored in (row.request["upload"], (row.result or {}).get("file")):
        if stored:
            shared.storage.delete(stored["key"])
    return Response(status=204)
