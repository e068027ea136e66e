"""OpenTelemetry: spans are made always, and exported where an OTLP endpoint is configured."""

import atexit
import os
import threading
import time
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from laundry_events.message_spans import SENDING
from laundry_service.telemetry.details import export_details, trace_clients
from laundry_service.telemetry.requests import measure_requests

LAST_SPANS_S = 1.0
"""A process ends after this at most, whether its last spans were taken or not."""

# The stable names of HTTP's and of databases' attributes; the libraries read it when they are first used.
os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http,database")


class Collector(SpanExporter):
    """Exports spans, and knows whether the collector takes them."""

    def __init__(self, exporter: SpanExporter) -> None:
        """Send with this exporter, which retries for as long as its timeout says."""
        self._exporter = exporter
        self._sending_since: float | None = None
        self._away = False

    @property
    def answers(self) -> bool:
        """Whether the last spans were taken, and those that are on their way are not overdue."""
        since = self._sending_since
        return not self._away and (since is None or time.monotonic() - since < LAST_SPANS_S)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export spans; those that are not taken are lost."""
        self._sending_since = time.monotonic()
        try:
            result = self._exporter.export(spans)
            self._away = result is not SpanExportResult.SUCCESS
        finally:
            self._sending_since = None
        return result

    def shutdown(self) -> None:
        """Give up what is being sent."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the exporter: nothing is buffered here."""
        return self._exporter.force_flush(timeout_millis)


class ForIds(TracerProvider):
    """Makes spans whose ids join logs and messages, and none for publishing, which nobody would see."""

    def get_tracer(self, instrumenting_module_name: str, *more: Any, **others: Any) -> trace.Tracer:
        """Return a tracer, which is a no-op for publishing."""
        if instrumenting_module_name == SENDING:
            return trace.NoOpTracer()
        return super().get_tracer(instrumenting_module_name, *more, **others)


def configure_tracing(service: str, version: str) -> None:
    """Install the tracer provider of this process.

    Spans are exported over OTLP/HTTP if ``OTEL_EXPORTER_OTLP_ENDPOINT`` is set, those of the database, the
    object store and other services among them; without it their ids still join logs and messages.
    """
    resource = Resource.create({"service.name": service, "service.version": version})
    exported = bool(os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"))
    # The provider's own handler would wait 30 s for a collector that is away.
    provider = (TracerProvider if exported else ForIds)(resource=resource, shutdown_on_exit=False)
    if exported:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - costs 10 MB
            OTLPSpanExporter,
        )

        collector = Collector(OTLPSpanExporter())
        processor = BatchSpanProcessor(collector)
        provider.add_span_processor(processor)
        export_details(resource, processor)
        trace_clients(resource, processor)
        atexit.register(_send_the_last, provider, collector)
    trace.set_tracer_provider(provider)


def _send_the_last(provider: TracerProvider, collector: Collector) -> None:
    if not collector.answers:
        return
    sending = threading.Thread(target=provider.shutdown, name="last-spans", daemon=True)
    sending.start()
    sending.join(LAST_SPANS_S)


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
    if not span.is_recording() or not isinstance(span, ReadableSpan):
        return
    attributes = span.attributes or {}
    for name in WITH_QUERY:
        if name in attributes:
            span.set_attribute(name, str(attributes[name]).partition("?")[0])
    if "url.query" in attributes:
        span.set_attribute("url.query", "")
