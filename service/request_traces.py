"""A span for each request, within that of its caller; what it makes is told of it (`models/trail.py`)."""

from http import HTTPStatus
from typing import TYPE_CHECKING

from flask import Flask, Response, g, request

from models.trail import Trail, follow, trail
from service.metrics import operation_of

if TYPE_CHECKING:
    from models.spans import Tracing


def trace_requests(app: Flask, tracing: "Tracing") -> None:
    """From now on; after requests have their names. A stream's span ends when it begins."""

    def begin() -> None:
        said = {"http.request.method": request.method, "url.path": request.path, "descent.request_id": g.request_id}
        operation = operation_of(request.endpoint)
        g.span = tracing.begin(operation, trail().traceparent, said, is_request=True)
        follow(Trail(g.request_id, g.span.traceparent))

    def end(reply: Response) -> Response:
        is_failure = reply.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
        said = {"http.response.status_code": reply.status_code}
        g.span.end("the request was not served" if is_failure else None, attributes=said)
        return reply

    app.before_request(begin)
    app.after_request(end)
