"""Exports spans over OTLP/HTTP: those of this process's work, and of its calls to others.

What only a process needs that exports: OpenTelemetry's SDK and exporter, which take 3 MB to load.
"""

import atexit
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState
from opentelemetry.util.types import Attributes

from laundry_service.telemetry import details

LAST_SPANS_S = 1.0
"""A process ends after this at most, whether its last spans were taken or not."""

OVERDUE_S = 5.0
"""Spans that are longer on their way are as good as not taken."""

TRY_EVERY_S = 5.0
"""While the collector takes no spans, one trace in so many seconds is recorded, which tells when it does."""

STATEMENT_CHARS = 2_000


class Collector(SpanExporter):
    """Exports spans, and knows whether the collector takes them."""

    def __init__(self, exporter: SpanExporter) -> None:
        """Send with this exporter, which retries for as long as its timeout says."""
        self._exporter = exporter
        self._sending_since: float | None = None
        self._away = False
        self._tried = 0
        self._try_again_at = 0.0

    @property
    def answers(self) -> bool:
        """Whether the last spans were taken, and those that are on their way are not overdue."""
        return self._answers(within_s=LAST_SPANS_S)

    def _answers(self, *, within_s: float) -> bool:
        since = self._sending_since
        return not self._away and (since is None or time.monotonic() - since < within_s)

    def is_worth_recording(self, trace_id: int) -> bool:
        """Whether to record a trace: the collector takes spans, or it is time to see whether it does."""
        if self._answers(within_s=OVERDUE_S) or trace_id == self._tried:
            return True
        now = time.monotonic()
        if now < self._try_again_at:
            return False
        self._tried, self._try_again_at = trace_id, now + TRY_EVERY_S
        return True

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


def export_spans(service: str, version: str) -> None:
    """Install a tracer provider that exports; the standard ``OTEL_…`` variables say where to."""
    resource = Resource.create({"service.name": service, "service.version": version})
    collector = Collector(OTLPSpanExporter())
    # The provider's own handler would wait 30 s for a collector that is away.
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.sampler = WhileAnswered(provider.sampler, collector)
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


class WhileAnswered(Sampler):
    """Samples nothing new while the collector takes no spans: to record what nobody gets is work for nothing.

    Spans within one that is recorded here are recorded too.
    """

    def __init__(self, sampler: Sampler, collector: Collector) -> None:
        """Sample as ``sampler`` does while the collector answers."""
        self._sampler = sampler
        self._collector = collector

    def should_sample(  # noqa: PLR0917 - the sampler's interface
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Decide about a span by its parent, and by what became of those before."""
        result = self._sampler.should_sample(
            parent_context, trace_id, name, kind, attributes, links, trace_state
        )
        around = trace.get_current_span(parent_context).get_span_context()
        begun = around.is_valid and not around.is_remote and around.trace_flags.sampled
        if begun or result.decision is Decision.DROP or self._collector.is_worth_recording(trace_id):
            return result
        return SamplingResult(Decision.DROP, trace_state=result.trace_state)

    def get_description(self) -> str:
        """Return the name of this sampler."""
        return f"WhileAnswered({self._sampler.get_description()})"


class WithinTraces(Sampler):
    """Samples spans within a recorded trace while details are wanted.

    What runs in the background (a poll, a key that is fetched) starts no trace of its own.
    """

    def __init__(self, wanted: Callable[[], bool]) -> None:
        """Ask ``wanted`` for each span."""
        self._wanted = wanted

    def should_sample(  # noqa: PLR0917 - the sampler's interface
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """Decide about a span by its parent."""
        around = trace.get_current_span(parent_context).get_span_context()
        if around.is_valid and around.trace_flags.sampled and self._wanted():
            return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, around.trace_state)
        return SamplingResult(Decision.DROP)

    def get_description(self) -> str:
        """Return the name of this sampler."""
        return "WithinTraces"


def _provider(resource: Resource, processor: SpanProcessor, wanted: Callable[[], bool]) -> TracerProvider:
    provider = TracerProvider(
        sampler=WithinTraces(wanted),
        resource=resource,
        shutdown_on_exit=False,
        span_limits=SpanLimits(max_span_attribute_length=STATEMENT_CHARS),
    )
    provider.add_span_processor(processor)
    return provider


def export_details(resource: Resource, processor: SpanProcessor) -> None:
    """Export details where the other spans go."""
    details.switch.export_with(_provider(resource, processor, lambda: details.switch.wanted))


def trace_clients(resource: Resource, processor: SpanProcessor) -> None:
    """Make a span of each httpx request within a trace, and propagate the trace."""
    instrumentor = HTTPXClientInstrumentor()
    if instrumentor.is_instrumented_by_opentelemetry:
        return
    instrumentor.instrument(
        tracer_provider=_provider(resource, processor, lambda: True),
        request_hook=_only_origin,
        async_request_hook=_only_origin_async,
    )


def _only_origin(span: trace.Span, request: Any) -> None:
    """Keep only an address's origin: its path may hold a device's token or a secret link."""
    if span.is_recording():
        scheme, host, port = request.url.scheme, request.url.host, request.url.port
        span.set_attribute("url.full", f"{scheme}://{host}" + (f":{port}" if port else "") + "/")


async def _only_origin_async(span: trace.Span, request: Any) -> None:
    _only_origin(span, request)
