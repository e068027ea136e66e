"""Keeps the trace of work that waits in a database until another task or process resumes it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

LINKS = 32
"""A span links at most this many other traces."""

_format = TraceContextTextMapPropagator()
_tracer = trace.get_tracer("laundry_service")


def traceparent() -> str | None:
    """Return the current span as W3C's ``traceparent``, to be stored beside the work; None without one."""
    carrier: dict[str, str] = {}
    _format.inject(carrier)
    return carrier.get("traceparent")


@contextmanager
def resumed(name: str, stored: str | None, *, others: Sequence[str | None] = ()) -> Iterator[None]:
    """Make a span in the stored trace, linked with the traces of other work that it covers."""
    spans = [trace.get_current_span(_read(each)).get_span_context() for each in others[:LINKS] if each]
    links = [Link(each) for each in spans if each.is_valid]
    with _tracer.start_as_current_span(name, context=_read(stored), links=links):
        yield


def _read(stored: str | None) -> Context:
    return _format.extract({"traceparent": stored or ""}, context=Context())
