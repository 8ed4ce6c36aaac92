"""Traces are made where a collector is named, and cost nothing elsewhere."""

import logging
import subprocess
import sys

import pytest

from models import tracing
from models.trail import TRACEPARENT
from tests.tracing import Traces, ids, parent_of

PARENT = f"00-{'a' * 32}-{'b' * 16}-01"
LOADED = """
import sys
from models.tracing import open_tracing
made = open_tracing("api")
print(made is not None, any(name.startswith("opentelemetry") for name in sys.modules))
"""


def loaded(**environment: str) -> str:
    done = subprocess.run([sys.executable, "-c", LOADED], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "False False"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, "False False"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}, "False False"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/v1/traces"}, "True True"),
    ],
)
def test_opentelemetry_is_imported_only_where_a_collector_is_named(environment: dict[str, str], expected: str) -> None:
    assert loaded(**environment) == expected


def test_a_collector_without_the_extra_is_told_and_no_more(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(tracing.COLLECTOR[0], "http://127.0.0.1:1")
    monkeypatch.delitem(sys.modules, "models.spans", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with caplog.at_level(logging.WARNING):
        assert tracing.open_tracing("api") is None
    assert "pip install 'descent[telemetry]'" in caplog.text


def test_a_span_is_part_of_the_trace_of_its_parent() -> None:
    traces = Traces()
    outer = traces.tracing.begin("outer", PARENT)
    traces.tracing.begin("inner", outer.traceparent, {"a": 1}, at=100.0).end(at=101.5)
    outer.end("it failed")
    inner, outer_span = traces.spans
    assert TRACEPARENT.fullmatch(outer.traceparent)
    assert ids(inner)[0] == ids(outer_span)[0] == "a" * 32
    assert (parent_of(outer_span), parent_of(inner)) == ("b" * 16, ids(outer_span)[1])
    assert (inner.start_time, inner.end_time) == (100 * 10**9, 101_500_000_000)
    assert not outer_span.status.is_ok


def test_without_a_parent_a_span_begins_a_trace() -> None:
    traces = Traces()
    traces.tracing.begin("one", None).end()
    traces.tracing.begin("another", None).end()
    one, another = traces.spans
    assert one.parent is None
    assert ids(one)[0] != ids(another)[0]


def test_what_its_caller_does_not_sample_is_not_sent() -> None:
    traces = Traces()
    span = traces.tracing.begin("outer", PARENT[:-1] + "0")
    assert span.traceparent.endswith("-00"), "and whoever is called is told"
    span.end()
    assert traces.spans == []
