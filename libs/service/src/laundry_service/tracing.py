"""OpenTelemetry: spans are made always, and exported where an OTLP endpoint is configured."""

import os

from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor


def configure_tracing(service: str, version: str) -> None:
    """Install the tracer provider of this process.

    Spans are exported over OTLP/HTTP if ``OTEL_EXPORTER_OTLP_ENDPOINT`` is set; without it their ids still
    join logs and messages.
    """
    resource = Resource.create({"service.name": service, "service.version": version})
    provider = TracerProvider(resource=resource)
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - costs 10 MB
            OTLPSpanExporter,
        )

        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def trace_requests(app: FastAPI) -> None:
    """Make a span of each request but the probes' and the broker's, whose path holds a secret."""
    FastAPIInstrumentor.instrument_app(
        app, excluded_urls="livez,readyz,mqtt/auth", exclude_spans=["send", "receive"]
    )
