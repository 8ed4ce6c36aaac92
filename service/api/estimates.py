"""`/v1/estimates`: shapes, cost and expectation of a definition; nothing is queued."""

from flask import Response, g, jsonify

from models.definitions.data import Data
from models.definitions.job import JobDefinition
from models.estimate import InputShape, estimate, read_sketch
from models.json_body import parse
from models.keys import Scope
from service.api.jobs import EXAMPLES
from service.bodies import json_bytes
from service.context import context, uploads
from service.openapi import answers, blueprint, json_request
from service.receivers import require_callback
from service.replies import EstimateReply

api = blueprint("estimates", "What a job would take, and what to expect of it, before anything is trained.")

A_SHAPE = {
    "network": {"family": "cnn", "blocks": [{"filters": 64}]},
    "data": {"input_shape": [3, 256, 256], "classes": 10},
}


class EstimateBody(JobDefinition):
    """A job definition, or one with the shape of its data instead of a data set. For the contract only."""

    data: Data | InputShape  # type: ignore[assignment]
    """A data set, or only what a network has to know of one."""


@api.post(
    "/v1/estimates",
    summary="Shapes, cost and expected gradient gain of a definition",
    request_body=json_request(EstimateBody, EXAMPLES | {"a shape of data": A_SHAPE}),
    scope=Scope.READ,
    responses=answers(200, EstimateReply, 400, 413, 415, 422),
)
def post_estimate() -> Response:
    """Takes a job definition, whose `data` may also be `{"input_shape": [3, 1000, 1000], "classes": 10}`, or with
    `outputs` instead of classes. A network that is too large for any worker is only warned of."""
    definition, shape = read_sketch(parse(json_bytes()), uploads(g.owner))
    require_callback(definition)
    return jsonify(estimate(definition, shape, context().capacity.now()))
