"""Traces, by OpenTelemetry: one from a request to the last phase of its job's runner.

They are made where a collector is named by the standard's own variable, `OTEL_EXPORTER_OTLP_ENDPOINT`; else nothing of
OpenTelemetry is imported. It is an extra: `pip install 'descent[telemetry]'`.
"""

import logging
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.spans import Tracing

log = logging.getLogger(__name__)

COLLECTOR = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def open_tracing(process: str) -> "Tracing | None":
    """Of this process, `api` or `worker`; None where nobody collects."""
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if disabled or not any(os.environ.get(name) for name in COLLECTOR):
        return None
    try:
        from models.spans import to_collector  # noqa: PLC0415
    except ImportError as missing:
        log.warning(
            "a collector of traces is named, but there is no %s: pip install 'descent[telemetry]'", missing.name
        )
        return None
    return to_collector(process)
