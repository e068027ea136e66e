"""Spans that are nothing but their ids, for a process that exports none: the ids join logs and messages.

To record what nobody sees takes more than twice as long, and a library that is else not loaded.
"""

import secrets
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    NoOpTracer,
    NoOpTracerProvider,
    Span,
    SpanContext,
    TraceFlags,
)

from laundry_events.message_spans import SENDING

SAMPLED = TraceFlags(TraceFlags.SAMPLED)
"""Whoever goes on with the trace may export it."""


class _Ids(NoOpTracer):
    def start_span(self, name: str, context: Context | None = None, *more: Any, **others: Any) -> Span:
        """Make a span with an id of its own, in the trace of its parent."""
        parent = trace.get_current_span(context).get_span_context()
        # Never 0, which means that there is none.
        span_id = secrets.randbits(63) + 1
        if parent.is_valid:
            within = SpanContext(parent.trace_id, span_id, False, parent.trace_flags, parent.trace_state)
        else:
            within = SpanContext(secrets.randbits(127) + 1, span_id, False, SAMPLED)
        return NonRecordingSpan(within)


class SpanIds(NoOpTracerProvider):
    """Gives spans ids. What publishes makes none: nobody would see them."""

    def get_tracer(self, instrumenting_module_name: str, *more: Any, **others: Any) -> trace.Tracer:
        """Return a tracer; for publishing one that does nothing."""
        return NoOpTracer() if instrumenting_module_name == SENDING else _Ids()
