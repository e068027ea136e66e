"""OpenTelemetry: spans always have ids; where an OTLP endpoint is set they are recorded and exported."""

import os
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

from laundry_service.telemetry.requests import measure_requests
from laundry_service.telemetry.span_ids import SpanIds


def configure_tracing(service: str, version: str) -> None:
    """Install the tracer provider of this process.

    Spans are exported over OTLP/HTTP if ``OTEL_EXPORTER_OTLP_ENDPOINT`` is set, those of the database, the
    object store and other services among them; without it their ids still join logs and messages.
    """
    if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        trace.set_tracer_provider(SpanIds())
        return
    from laundry_service.telemetry.exporting import export_spans  # noqa: PLC0415 - costs 3 MB

    export_spans(service, version)


# Headers that may hold a token or a cookie, in case header capture is enabled.
SECRET_HEADERS = ["authorization", "proxy-authorization", "cookie", "set-cookie", ".*token.*", ".*secret.*"]
WITH_QUERY = ("http.url", "http.target", "url.full")


def trace_requests(app: FastAPI) -> None:
    """Make a span of each request but the probes', and those whose path holds a secret; measure them too."""
    measure_requests()
    FastAPIInstrumentor.instrument_app(
        app,
        excluded_urls="livez,readyz,mqtt/auth,invitation/,password/reset/key",
        exclude_spans=["send", "receive"],
        server_request_hook=_without_query,
        http_capture_headers_sanitize_fields=SECRET_HEADERS,
    )


def _without_query(span: trace.Span, _: dict[str, Any]) -> None:
    """Remove the query string from a span: it may hold a token by mistake."""
    if not span.is_recording():
        return
    # Only the SDK's spans can be read.
    attributes: Mapping[str, Any] = getattr(span, "attributes", None) or {}
    for name in WITH_QUERY:
        if name in attributes:
            span.set_attribute(name, str(attributes[name]).partition("?")[0])
    if "url.query" in attributes:
        span.set_attribute("url.query", "")
