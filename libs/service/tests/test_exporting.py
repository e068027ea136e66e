"""While nobody takes spans none are recorded, but for those that tell when somebody does again."""

from collections.abc import Sequence

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import DEFAULT_ON, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from laundry_service.telemetry import exporting
from laundry_service.telemetry.exporting import LAST_SPANS_S, TRY_EVERY_S, Collector, WhileAnswered


class Line(SpanExporter):
    """A line to a collector; what is sent while it is down is refused."""

    def __init__(self) -> None:
        self.down = False
        self.names: list[str] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.names += [span.name for span in spans]
        return SpanExportResult.FAILURE if self.down else SpanExportResult.SUCCESS


class Clock:
    """Stands still until it is put forward."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(exporting, "time", clock)
    return clock


@pytest.fixture
def line() -> Line:
    return Line()


def traced(line: Line, usual: Sampler) -> trace.Tracer:
    collector = Collector(line)
    provider = TracerProvider(WhileAnswered(usual, collector), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(collector))
    return provider.get_tracer("tests")


@pytest.fixture
def tracer(clock: Clock, line: Line) -> trace.Tracer:
    return traced(line, DEFAULT_ON)


def within(flags: int) -> Context:
    """What another process has begun."""
    return trace.set_span_in_context(
        NonRecordingSpan(SpanContext(7, 8, is_remote=True, trace_flags=TraceFlags(flags)))
    )


@pytest.mark.parametrize("context", [None, within(1)], ids=["begun here", "begun elsewhere"])
def test_a_trace_is_recorded_while_the_collector_answers_and_now_and_then_while_it_does_not(
    tracer: trace.Tracer, line: Line, clock: Clock, context: Context | None
) -> None:
    def told(name: str) -> bool:
        with tracer.start_as_current_span(name, context=context) as span:
            assert span.get_span_context().is_valid
        return name in line.names

    assert told("before")
    line.down = True
    assert told("nobody knows yet")
    assert told("the first try")
    assert not told("down")
    clock.now += TRY_EVERY_S
    assert told("the next try")
    assert not told("still down")
    line.down = False
    assert not told("up again, and nobody knows")
    clock.now += TRY_EVERY_S
    assert told("the try that gets through")
    assert told("after")


def test_a_trace_that_has_begun_is_recorded_to_its_end(tracer: trace.Tracer, line: Line) -> None:
    line.down = True
    with tracer.start_as_current_span("first"):
        pass
    with tracer.start_as_current_span("try"):
        with tracer.start_as_current_span("part of it"):
            pass
        with tracer.start_as_current_span("and another"):
            pass
    assert line.names == ["first", "part of it", "and another", "try"]


def test_what_others_do_not_sample_is_not_recorded(tracer: trace.Tracer, line: Line) -> None:
    with tracer.start_as_current_span("asked", context=within(0)) as span:
        assert not span.is_recording()
    assert not line.names


def test_of_the_share_that_is_sampled_one_is_tried(clock: Clock, line: Line) -> None:
    tracer = traced(line, ParentBased(TraceIdRatioBased(0.5)))
    line.down = True
    for _ in range(400):
        with tracer.start_as_current_span("work"):
            pass
    # One before it is known, one try.
    assert len(line.names) == 2


def test_spans_that_are_long_under_way_count_as_not_taken(line: Line, clock: Clock) -> None:
    collector = Collector(line)
    taken: list[bool] = []

    def slow(spans: Sequence[ReadableSpan]) -> SpanExportResult:
        clock.now += LAST_SPANS_S / 2
        taken.append(collector.answers)
        clock.now += LAST_SPANS_S / 2
        taken.append(collector.answers)
        return SpanExportResult.SUCCESS

    line.export = slow  # type: ignore[method-assign]
    collector.export([])
    assert taken == [True, False]
    assert collector.answers
