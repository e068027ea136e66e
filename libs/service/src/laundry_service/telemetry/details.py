"""Spans of a process's calls to its database and the object store.

They are most of a trace, and its details: they end where they begin, so a process can leave them out without
breaking any trace. ``switch`` does so while it runs.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

from opentelemetry import metrics, trace
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import Gauge

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

DETAILED = Gauge("laundry_telemetry_detailed", "1 while spans of the database and the object store are made")


class Switch:
    """Whether details are recorded: yes where spans are exported, until somebody turns them off."""

    def __init__(self) -> None:
        self._provider: trace.TracerProvider | None = None
        self.wanted = True

    @property
    def exported(self) -> bool:
        """Whether spans of this process go anywhere."""
        return self._provider is not None

    @property
    def on(self) -> bool:
        """Whether details are recorded now."""
        return self.wanted and self.exported

    def export_with(self, provider: trace.TracerProvider) -> None:
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
