"""Spans of OpenTelemetry. Imported by `models.tracing` alone, and only where somebody collects them."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

Attributes = Mapping[str, str | int]
CONTEXT = TraceContextTextMapPropagator()
FLUSH_MILLISECONDS = 2000


def to_collector(process: str) -> "Tracing":
    """The exporter reads where to, and all else that may be chosen, from the variables of OpenTelemetry."""
    return Tracing(process, BatchSpanProcessor(OTLPSpanExporter()))


@dataclass(frozen=True)
class Span:
    """Something that takes its time."""

    of: trace.Span

    @property
    def traceparent(self) -> str:
        """For what happens within it, here or elsewhere."""
        found = self.of.get_span_context()
        return f"00-{found.trace_id:032x}-{found.span_id:016x}-{int(found.trace_flags):02x}"

    def end(self, error: str | None = None, at: float | None = None, attributes: Attributes | None = None) -> None:
        """`at`: Unix seconds, if it was not now."""
        self.of.set_attributes(attributes or {})
        if error is not None:
            self.of.set_status(StatusCode.ERROR, error)
        self.of.end(_nanoseconds(at))


class Tracing:
    """Makes the spans of one process."""

    def __init__(self, process: str, processor: SpanProcessor) -> None:
        name = os.environ.get("OTEL_SERVICE_NAME") or f"descent-{process}"
        resource = Resource.create({"service.name": name, "service.version": version("descent")})
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("descent")

    def begin(
        self,
        name: str,
        parent: str | None,
        attributes: Attributes | None = None,
        at: float | None = None,
        is_request: bool = False,
    ) -> Span:
        """A span within that of a `traceparent`, or the first of a new trace. `at`: Unix seconds, if it is not now."""
        context = CONTEXT.extract({"traceparent": parent}) if parent else trace.set_span_in_context(trace.INVALID_SPAN)
        kind = SpanKind.SERVER if is_request else SpanKind.INTERNAL
        started = self._tracer.start_span(name, context, kind, attributes, start_time=_nanoseconds(at))
        return Span(started)

    def flush(self) -> None:
        """Sends what has ended, before the process does."""
        self._provider.force_flush(FLUSH_MILLISECONDS)


def _nanoseconds(at: float | None) -> int | None:
    return None if at is None else int(at * 1e9)
