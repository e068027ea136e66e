"""Spans of a process's calls to its database, the object store and other services.

Those of the database and the object store are most of a trace, and its details: they end where they begin, so
a process can leave them out without breaking any trace. ``switch`` does so while it runs.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, StatusCode, TraceState
from opentelemetry.util.types import Attributes
from prometheus_client import Gauge

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

STATEMENT_CHARS = 2_000

DETAILED = Gauge("laundry_telemetry_detailed", "1 while spans of the database and the object store are made")


class Switch:
    """Whether details are recorded: yes where spans are exported, until somebody turns them off."""

    def __init__(self) -> None:
        self._provider: TracerProvider | None = None
        self.wanted = True

    @property
    def exported(self) -> bool:
        """Whether spans of this process go anywhere."""
        return self._provider is not None

    @property
    def on(self) -> bool:
        """Whether details are recorded now."""
        return self.wanted and self.exported

    def export_with(self, provider: TracerProvider) -> None:
        """Record them with this provider from now on."""
        self._provider = provider
        DETAILED.set(self.on)

    def turn(self, on: bool) -> None:
        """Turn details on or off."""
        self.wanted = on
        DETAILED.set(self.on)

    def tracer(self, library: str) -> trace.Tracer:
        """Return a tracer of details; a no-op where nothing is exported."""
        return trace.NoOpTracer() if self._provider is None else self._provider.get_tracer(library)


switch = Switch()


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
    switch.export_with(_provider(resource, processor, lambda: switch.wanted))


def trace_database(engine: "AsyncEngine") -> None:
    """Make a span of each statement, with its text and without its values."""
    if not switch.exported:
        return
    from opentelemetry.instrumentation.sqlalchemy.engine import EngineTracer  # noqa: PLC0415 - if exported

    # The instrumentor supports one engine per process.
    uncounted = metrics.NoOpMeterProvider().get_meter("").create_up_down_counter("connections")
    tracer = switch.tracer("opentelemetry.instrumentation.sqlalchemy")
    EngineTracer(tracer, engine.sync_engine, uncounted)  # type: ignore[no-untyped-call]


def asking_store(operation: str, bucket: str) -> AbstractContextManager[None]:
    """Make the span of a request to the object store: no library knows obstore, so it is made here.

    Args:
        operation: as S3 names it (``GetObject``). The key is left out: it would outlive a person's erasure.
    """
    return _asked(operation, bucket) if switch.on else nullcontext()


@contextmanager
def _asked(operation: str, bucket: str) -> Iterator[None]:
    with switch.tracer("laundry_service").start_as_current_span(
        f"S3/{operation}",
        kind=SpanKind.CLIENT,
        attributes={
            "rpc.system": "aws-api",
            "rpc.service": "S3",
            "rpc.method": operation,
            "aws.s3.bucket": bucket,
        },
        # Errors of the store contain the key.
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield
        except Exception as error:
            span.set_status(StatusCode.ERROR)
            span.set_attribute("error.type", type(error).__qualname__)
            raise


def trace_clients(resource: Resource, processor: SpanProcessor) -> None:
    """Make a span of each httpx request within a trace, and propagate the trace."""
    from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor  # noqa: PLC0415 - if exported

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
