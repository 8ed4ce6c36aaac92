"""`/v1/estimates`: shapes, cost and expectation of a definition; nothing is queued."""

from flask import Response, g, jsonify

from models.estimate import estimate
from models.keys import Scope
from service.api.jobs import JSON_BODY
from service.bodies import json_bytes
from service.context import context, uploads
from service.openapi import answers, blueprint
from service.replies import EstimateReply

api = blueprint("estimates", "What a job would take, and what to expect of it, before anything is trained.")


@api.post(
    "/v1/estimates",
    summary="Shapes, cost and expected gradient gain of a definition",
    request_body=JSON_BODY,
    scope=Scope.READ,
    responses=answers(200, EstimateReply, 400, 413, 415, 422),
)
def post_estimate() -> Response:
    """Takes a job definition, whose `data` may also be `{"input_shape": [3, 1000, 1000], "classes": 10}`, or with
    `outputs` instead of classes. A network that is too large for any worker is only warned of."""
    return jsonify(estimate(json_bytes(), context().capacity.now(), uploads(g.owner)))
