"""`/metrics`: the service as Prometheus watches it."""

from flask import Response
from prometheus_client import generate_latest

from models.keys import Scope
from service.context import context
from service.openapi import Query, answers, blueprint

api = blueprint("metrics", "What a monitoring system watches.", scope=Scope.METRICS)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
EXAMPLE = (
    "# HELP descent_queue_jobs Jobs that wait, by priority: below 0, 0, above.\n"
    "# TYPE descent_queue_jobs gauge\n"
    'descent_queue_jobs{priority="normal"} 3.0\n'
)
TEXT = {
    "description": "The text format of Prometheus, 0.0.4",
    "content": {"text/plain": {"schema": {"type": "string"}, "example": EXAMPLE}},
}


@api.get("/metrics", summary="Figures for Prometheus", responses=answers(200, None, 422) | {200: TEXT})
def show_metrics(query: Query) -> Response:
    """In the text format of Prometheus, of all owners together: it needs a key with the scope `metrics`, which opens
    nothing else. Requests are those of the process that answers; what is read from the database is at most a few
    seconds old, and absent while the database is away."""
    return Response(generate_latest(context().metrics), content_type=CONTENT_TYPE)
