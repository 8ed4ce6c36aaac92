"""What the running service tells of itself: metrics over its processes, logs, and one trace from request to runner."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from tests.promql import expressions, selectors
from tests.system.conftest import a_stack
from tests.system.servers import BACKENDS
from tests.system.stack import Stack
from tests.waiting import await_true

TINY: dict[str, Any] = {
    "network": {"family": "dnn", "hidden": [4]},
    "data": {"dataset": "xor", "validation": 0.2},
    "training": {"epochs": 2},
}


def series(stack: Stack) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """By name, and by labels."""
    reply = stack.client.get("/metrics")
    assert reply.status_code == 200, reply.text
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in text_string_to_metric_families(reply.text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def total(stack: Stack, name: str, **labels: str) -> float:
    wanted = set(labels.items())
    return sum(value for said, value in series(stack).get(f"descent_{name}", {}).items() if wanted <= set(said))


def lines(stack: Stack) -> list[dict[str, Any]]:
    """Of the log; launcher and API also greet in words."""
    text = (stack.data / "service.log").read_text(errors="replace")
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_metrics_tell_what_all_processes_do(stack: Stack, slow: dict[str, Any]) -> None:
    before = total(stack, "jobs_ended_total", status="succeeded")
    stack.train(TINY)
    running = stack.post(slow)
    stack.await_runner(running)
    waiting = stack.post(TINY | {"priority": 5})
    await_true(lambda: total(stack, "jobs_ended_total", status="succeeded") == before + 1)
    await_true(lambda: total(stack, "queue_jobs", priority="high") == 1)
    assert total(stack, "jobs", status="running") == 1
    assert (total(stack, "slots"), total(stack, "slots_busy")) == (1, 1)
    assert total(stack, "workers", state="alive") == 1
    assert {part: total(stack, "reachable", part=part) for part in ("database", "broker", "storage")} == {
        "database": 1,
        "broker": 1,
        "storage": 1,
    }
    assert total(stack, "statistics_lag_seconds") < 10, "twice a second it says how far it is"
    assert total(stack, "checkpoint_age_seconds") < 30, "each second it writes a checkpoint"
    assert total(stack, "device_seconds_total") > 0
    for job in (waiting, running):
        assert stack.cancel(job) == 202


def test_every_expression_of_dashboard_and_alerts_finds_its_metric_in_the_running_service(stack: Stack) -> None:
    stack.client.get("/v1/jobs")
    told = series(stack)
    for expression in expressions():
        for name, _ in selectors(expression):
            assert name in told.keys() | {"up"}, name


def test_the_log_leads_from_a_request_to_the_job_it_made(stack: Stack, slow: dict[str, Any]) -> None:
    parent = f"00-{'c' * 32}-{'d' * 16}-01"
    headers = {"X-Request-Id": "a-request-of-mine", "traceparent": parent}
    job = stack.client.post("/v1/jobs", json=slow, headers=headers).json()["id"]
    runner = stack.await_runner(job)
    stack.cancel(job, "force")
    stack.follow(job)
    begun = next(line for line in lines(stack) if line.get("job_id") == job)
    assert begun["process"] == "worker"
    assert str(runner) in begun["message"]
    said = {name: begun[name] for name in ("level", "request_id", "trace_id", "attempt")}
    assert said == {"level": "info", "request_id": "a-request-of-mine", "trace_id": "c" * 32, "attempt": 1}
    assert stack.environment["DESCENT_API_KEY"] not in (stack.data / "service.log").read_text(errors="replace")


class Collector:
    """Takes spans by OTLP over HTTP, as a collector does."""

    def __init__(self) -> None:
        self.spans: list[tuple[str, Any]] = []
        """Each with the name of the service that sent it."""
        taken = self.spans

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    names = {one.key: one.value.string_value for one in resource.resource.attributes}
                    taken.extend(
                        (names["service.name"], span) for scope in resource.scope_spans for span in scope.spans
                    )
                self.send_response(200)
                self.end_headers()

            def log_message(self, *said: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def of(self, trace: str) -> dict[str, Any]:
        """The last span of each name, with its service, in one trace."""
        return {span.name: (sender, span) for sender, span in self.spans if span.trace_id.hex() == trace}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(params=[pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in BACKENDS])
def traced(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Stack, Collector]]:
    """A service whose traces somebody collects."""
    collector = Collector()
    settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
    with a_stack(request.param, tmp_path, **settings) as stack:
        stack.start()
        yield stack, collector
    collector.close()


@pytest.mark.long
def test_one_trace_leads_from_the_request_through_the_queue_to_the_runner(traced: tuple[Stack, Collector]) -> None:
    """tests/workers/test_traces.py asks the same of API and worker in one process."""
    stack, collector = traced
    trace = "e" * 32
    headers = {"traceparent": f"00-{trace}-{'f' * 16}-01"}
    job = stack.client.post("/v1/jobs", json=TINY, headers=headers).json()["id"]
    assert stack.follow(job)["status"] == "succeeded"
    wanted = {"submit_job", "queue", "attempt", "starting", "training", "evaluating", "saving", "export"}
    await_true(lambda: wanted <= collector.of(trace).keys())
    found = collector.of(trace)
    assert found.keys() == wanted
    senders = {name: sender for name, (sender, _) in found.items()}
    assert senders.pop("submit_job") == "descent-api"
    assert set(senders.values()) == {"descent-worker"}
    request, attempt = found["submit_job"][1], found["attempt"][1]
    assert request.parent_span_id.hex() == "f" * 16
    assert attempt.parent_span_id == found["queue"][1].parent_span_id == request.span_id
    assert found["training"][1].parent_span_id == attempt.span_id
    pids = {one.value.int_value for one in found["training"][1].attributes if one.key == "process.pid"}
    assert pids
    assert not pids & set(stack.workers()), "the runner is a process of its own"
