"""What this process counts for Prometheus: requests, by the operation of the contract, and how long each took.

By operation, not by path: however many jobs are asked for, there are as many series as calls.
"""

import time
from typing import NamedTuple

from flask import Flask, Response, g, request
from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
NO_OPERATION = "none"
"""Of a path that is none."""


class Counted(NamedTuple):
    """The series of one operation and status."""

    requests: Counter
    seconds: Histogram


class RequestMetrics:
    """Counts each request once it is answered; of a stream, once it begins."""

    def __init__(self, registry: CollectorRegistry) -> None:
        # When each series began would be as many series again.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._requests = Counter(
            "descent_http_requests",
            "Requests answered by this process, by operation of the contract and HTTP status.",
            ["operation", "status"],
            registry=registry,
        )
        self._seconds = Histogram(
            "descent_http_request_seconds",
            "Time to the first byte of the answer, without what a client asked to wait.",
            ["operation"],
            buckets=BUCKETS,
            registry=registry,
        )
        self._known: dict[tuple[str | None, int], Counted] = {}
        """To find a series by its labels takes longer than to count."""

    def watch(self, app: Flask) -> None:
        """From now on requests are counted. Before all else that looks at requests, so that nothing is left out."""
        app.before_request(self._begin)
        app.after_request(self._end)

    def _begin(self) -> None:
        g.began = time.perf_counter()

    def _end(self, reply: Response) -> Response:
        key = request.endpoint, reply.status_code
        counted = self._known.get(key) or self._make(*key)
        counted.requests.inc()
        counted.seconds.observe(time.perf_counter() - g.began - g.get("waited", 0.0))
        return reply

    def _make(self, endpoint: str | None, status: int) -> Counted:
        operation = operation_of(endpoint)
        made = Counted(self._requests.labels(operation, str(status)), self._seconds.labels(operation))
        self._known[endpoint, status] = made
        return made


def operation_of(endpoint: str | None) -> str:
    """The operation id of the contract, or the name of a page: Flask puts the blueprint before it."""
    return endpoint.rpartition(".")[2] if endpoint else NO_OPERATION
