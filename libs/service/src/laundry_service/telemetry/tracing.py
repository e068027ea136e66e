"""OpenTelemetry: spans are made always, and exported where an OTLP endpoint is configured."""

import atexit
import os
import threading
from typing import Any

from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

LAST_SPANS_S = 1.0
"""A process ends after this at most, whether its last spans were taken or not."""


def configure_tracing(service: str, version: str) -> None:
    """Install the tracer provider of this process.

    Spans are exported over OTLP/HTTP if ``OTEL_EXPORTER_OTLP_ENDPOINT`` is set; without it their ids still
    join logs and messages.
    """
    resource = Resource.create({"service.name": service, "service.version": version})
    # The provider's own handler would wait 30 s for a collector that is away.
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - costs 10 MB
            OTLPSpanExporter,
        )

        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        atexit.register(_send_the_last, provider)
    trace.set_tracer_provider(provider)


def _send_the_last(provider: TracerProvider) -> None:
    sending = threading.Thread(target=provider.shutdown, name="last-spans", daemon=True)
    sending.start()
    sending.join(LAST_SPANS_S)


# Headers that may hold a token or a cookie, in case header capture is enabled.
SECRET_HEADERS = ["authorization", "proxy-authorization", "cookie", "set-cookie", ".*token.*", ".*secret.*"]
WITH_QUERY = ("http.url", "http.target", "url.full")


def trace_requests(app: FastAPI) -> None:
    """Make a span of each request but the probes', and those whose path holds a secret."""
    FastAPIInstrumentor.instrument_app(
        app,
        excluded_urls="livez,readyz,mqtt/auth,invitation/,password/reset/key",
        exclude_spans=["send", "receive"],
        server_request_hook=_without_query,
        http_capture_headers_sanitize_fields=SECRET_HEADERS,
    )


def _without_query(span: trace.Span, _: dict[str, Any]) -> None:
    """Remove the query string from a span: it may hold a token by mistake."""
    if not span.is_recording() or not isinstance(span, ReadableSpan):
        return
    attributes = span.attributes or {}
    for name in WITH_QUERY:
        if name in attributes:
            span.set_attribute(name, str(attributes[name]).partition("?")[0])
    if "url.query" in attributes:
        span.set_attribute("url.query", "")
