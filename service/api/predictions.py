"""`POST /v1/jobs/{id}/predictions`: what a trained network says of new rows."""

from typing import Annotated, Any

from flask import Response, jsonify, request
from pydantic import Field
from pydantic_core import from_json
from werkzeug.exceptions import UnsupportedMediaType

from models import artifacts
from models.definitions.base import Strict
from models.errors import InvalidDefinition, NotJson, Problem
from models.json_body import escape, parse
from models.keys import Scope
from service.api.jobs import JobPath
from service.api.prediction_files import TYPES, VERDICT, PredictionQuery, api, predict_file
from service.bodies import bounded_bytes
from service.context import context
from service.openapi import BINARY, BYTES, answers, form_request, json_request
from service.replies import PredictionReply, PredictionsReply
from service.usable_model import usable_model

EXAMPLES: dict[str, dict[str, list[Any]]] = {
    "rows of numbers": {"inputs": [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]},
    "rows by column name": {"inputs": [{"age": 41, "colour": "red"}]},
    "sequences": {"inputs": [[[0.1], [0.2], [0.3]]]},
    "tokens": {"inputs": [[3, 1, 4, 1, 5]]},
}


class PredictionBody(Strict):
    """Rows to predict. For the contract only: what is sent is read by hand, see `_inputs`."""

    inputs: Annotated[list[Any], Field(min_length=1, max_length=10_000)]
    """Nested lists in the data's own units, or objects by column name."""


FORM = form_request("TableForm", {"properties": {"file": BINARY}, "required": ["file"], "description": "A table."})
BODY = json_request(PredictionBody, EXAMPLES) | FORM | BYTES


@api.post(
    "/v1/jobs/<job_id>/predictions",
    summary="Predict",
    request_body=BODY,
    scope=Scope.READ,
    responses=answers(200, PredictionsReply, 400, 404, 409, 413, 415, 422, 429) | {202: PredictionReply},
)
def predict(path: JobPath, query: PredictionQuery) -> Response:
    """Rows are nested lists in the data's own units, or objects by column name; whole sequences of any length where the
    network takes any. The header `Descent-Verdict` says what the diagnosis made of the job; an unhealthy one is a 409
    unless `allow_unhealthy=true`. Just after the job's end its model is being made: 409 `model_pending`, with
    `Retry-After`.

    A whole table, as CSV or Parquet, is a task for a worker: 202, and `Location` says when there is a `result`. That
    needs the scope `write`. It may be sent as `text/csv` or `application/vnd.apache.parquet` too."""
    if request.mimetype in TYPES:
        return predict_file(path.job_id, query)
    shared = context()
    body = _body(shared.settings.prediction_bytes)
    row = usable_model(path.job_id, query.allow_unhealthy)
    predictor = shared.predictors.get(artifacts.stored_of(row), row.definition)
    # As NumPy takes true for 1.
    outputs = predictor.predict(_inputs(body), has_booleans=b"true" in body or b"false" in body)
    reply = jsonify(outputs=outputs)
    reply.headers[VERDICT] = row.verdict
    return reply


def _body(most: int) -> bytes:
    if not request.is_json:
        raise UnsupportedMediaType("Send rows as application/json, or a file as text/csv or Parquet.")
    return bounded_bytes(most, "DESCENT_PREDICTION_BYTES")


def _inputs(body: bytes) -> Any:
    """What is in `inputs`. Not by `models.json_body.parse`, which looks at every single value: these are many, and are
    all looked at anyway."""
    try:
        value = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise NotJson(f"The body is not JSON: {error}.") from error
    if body.count(b'"inputs"') > 1:
        parse(body)  # which refuses a key that comes twice
    if not isinstance(value, dict):
        detail = "The body is an object with `inputs`."
        raise InvalidDefinition.at("", "model_type", detail, 'Write {"inputs": [ ... ]}.')
    unknown = [Problem(f"/{escape(key)}", "extra_forbidden", "There is no such field.", "") for key in value]
    unknown = [problem for problem in unknown if problem.pointer != "/inputs"]
    if "inputs" not in value:
        unknown.append(Problem("/inputs", "missing", "Field required.", "Add this field."))
    if unknown:
        raise InvalidDefinition(unknown[:100])
    return value["inputs"]
