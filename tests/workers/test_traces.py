"""One trace from a request to the last phase of the job's runner, which is a process of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from migrations.migrate import migrate
from models.database import Database
from models.reports import PhaseEnded
from models.settings import Settings
from models.tasks import Kind
from service.app import create_app
from tests.service.conftest import HEADERS
from tests.tracing import Traces, ids, parent_of
from tests.workers.test_spares import await_true, row
from workers import process
from workers.devices import Slot
from workers.lane import Lane
from workers.scheduler import Scheduler
from workers.training.phases import MOST, Phases

PARENT = f"00-{'a' * 32}-{'b' * 16}-01"
JOB: dict[str, Any] = {
    "network": {"family": "dnn", "hidden": [4]},
    "data": {"dataset": "xor", "validation": 0.2},
    "training": {"epochs": 3},
}


@pytest.fixture
def traces() -> Traces:
    return Traces()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = Settings(data=tmp_path, api_key="k" * 32, idle_poll_seconds=0.05, max_attempts=1)
    migrate(settings.database)
    return settings


@pytest.fixture
def scheduler(settings: Settings, traces: Traces) -> Iterator[Scheduler]:
    """A worker's scheduler and its lane for exports."""
    process.start_server()
    database = Database(settings.database)
    lane = Lane("wrk_here", (Kind.EXPORT,), database, settings, traces.tracing)
    scheduler = Scheduler("wrk_here", [Slot(0, "cpu")], database, settings, tracing=traces.tracing)
    scheduler.warm()
    scheduler.start()
    lane.start()
    yield scheduler
    scheduler.stop()
    lane.stop()
    database.close()


def post(settings: Settings, traces: Traces, **headers: str) -> str:
    app = create_app(settings, traces.tracing)
    app.extensions["descent"].doorbell.ring = lambda: None
    reply = app.test_client().post("/v1/jobs", json=JOB, headers=HEADERS | headers)
    app.extensions["descent"].database.close()
    assert reply.status_code == 202
    return str(reply.json["id"])


def seconds(span: ReadableSpan) -> float:
    assert span.start_time is not None
    assert span.end_time is not None
    return (span.end_time - span.start_time) / 1e9


def test_a_trace_leads_from_the_request_to_the_runner_and_the_export(
    scheduler: Scheduler, settings: Settings, traces: Traces
) -> None:
    post(settings, traces, traceparent=PARENT, **{"X-Request-Id": "mine"})
    await_true(lambda: any(span.name == "export" for span in traces.spans))
    names = [span.name for span in traces.spans]
    assert set(names) == {"submit_job", "queue", "attempt", "starting", "training", "evaluating", "saving", "export"}
    assert {ids(span)[0] for span in traces.spans} == {"a" * 32}, "all of the trace that the caller began"
    request, attempt = traces.one("submit_job"), traces.one("attempt")
    assert parent_of(request) == "b" * 16
    assert {parent_of(traces.one(name)) for name in ("queue", "attempt", "export")} == {ids(request)[1]}
    phases = [span for span in traces.spans if span.name in ("starting", "training", "evaluating", "saving")]
    assert {parent_of(span) for span in phases} == {ids(attempt)[1]}
    assert names.count("training") == 3, "an epoch each"
    for span in phases:
        assert attempt.start_time - 10**7 <= span.start_time <= span.end_time <= attempt.end_time + 10**7
    assert dict(request.attributes or {})["descent.request_id"] == "mine"
    assert dict(attempt.attributes or {})["descent.outcome"] == "succeeded"
    assert seconds(traces.one("queue")) < 30


def test_a_job_without_a_trace_begins_one(scheduler: Scheduler, settings: Settings, traces: Traces) -> None:
    post(settings, traces)
    await_true(lambda: any(span.name == "export" for span in traces.spans))
    request = traces.one("submit_job")
    assert request.parent is None
    assert {ids(span)[0] for span in traces.spans} == {ids(request)[0]}


def test_an_attempt_that_is_lost_is_an_error(scheduler: Scheduler, settings: Settings, traces: Traces) -> None:
    long = JOB | {"training": {"epochs": 1_000_000}}
    app = create_app(settings)
    app.extensions["descent"].doorbell.ring = lambda: None
    job = app.test_client().post("/v1/jobs", json=long, headers=HEADERS | {"traceparent": PARENT}).json["id"]
    database = app.extensions["descent"].database
    await_true(lambda: row(database, job).step > 0)
    (run,) = scheduler.runs()
    run._runner.kill()
    await_true(lambda: row(database, job).status == "failed")
    await_true(lambda: any(span.name == "attempt" for span in traces.spans))
    attempt = traces.one("attempt")
    assert not attempt.status.is_ok
    assert dict(attempt.attributes or {})["descent.outcome"] == "lost"
    assert parent_of(attempt) == "b" * 16, "an API that does not trace hands on what its caller sent"
    database.close()


def test_of_a_million_epochs_the_first_are_told() -> None:
    told: list[Any] = []
    phases = Phases(told.append)
    for number in range(3 * MOST):
        phases("training", float(number), number + 0.5)
        phases("statistics", 0.0, 1.0)
    phases("saving", 1.0, 2.0)
    assert len(told) == MOST + 1
    assert told[-1] == PhaseEnded("saving", 1.0, 2.0)
