"""A line for each request, where `DESCENT_LOG_LEVEL` is `debug`: it takes as long as a tenth of a small answer."""

import logging
import time

from flask import Response, g, request

from service.metrics import operation_of

log = logging.getLogger(__name__)


def log_request(reply: Response) -> Response:
    caller = g.get("caller")
    said = {
        "operation": operation_of(request.endpoint),
        "status": reply.status_code,
        "seconds": round(time.perf_counter() - g.began, 6),
        "key": caller.key if caller else None,
    }
    log.debug("%s %s: %s", request.method, request.path, reply.status_code, extra=said)
    return reply
