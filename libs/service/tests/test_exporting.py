"""While nobody takes spans none are recorded, but for those that tell when somebody does again."""

import os
import subprocess
import sys
from collections.abc import Sequence
from subprocess import DEVNULL

import pytest
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, DEFAULT_ON, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from laundry_servers.ports import free_port
from laundry_service.telemetry import exporting
from laundry_service.telemetry.exporting import (
    LAST_SPANS_S,
    OVERDUE_S,
    TRY_EVERY_S,
    Collector,
    WhileAnswered,
)


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
    """What another process has begun: a trace of its own."""
    trace_id = RandomIdGenerator().generate_trace_id()
    return trace.set_span_in_context(
        NonRecordingSpan(SpanContext(trace_id, 8, is_remote=True, trace_flags=TraceFlags(flags)))
    )


@pytest.mark.parametrize("elsewhere", [False, True], ids=["begun here", "begun elsewhere"])
def test_a_trace_is_recorded_while_the_collector_answers_and_now_and_then_while_it_does_not(
    tracer: trace.Tracer, line: Line, clock: Clock, elsewhere: bool
) -> None:
    def told(name: str) -> bool:
        context = within(1) if elsewhere else None
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


def test_what_goes_on_with_the_trace_that_is_tried_is_recorded_too(tracer: trace.Tracer, line: Line) -> None:
    line.down = True
    with tracer.start_as_current_span("first"):
        pass
    with tracer.start_as_current_span("try") as tried:
        pass
    known = tried.get_span_context()
    # As an event tells it to the relay of its own service.
    later = SpanContext(known.trace_id, known.span_id, is_remote=True, trace_flags=known.trace_flags)
    for name, context in (("send", trace.set_span_in_context(NonRecordingSpan(later))), ("other", within(1))):
        with tracer.start_as_current_span(name, context=context):
            pass
    assert line.names == ["first", "try", "send"]


def test_within_a_span_that_is_not_recorded_none_is(clock: Clock, line: Line) -> None:
    tracer = traced(line, ALWAYS_ON)
    line.down = True
    for _ in range(2):
        with tracer.start_as_current_span("work"):
            pass
    with tracer.start_as_current_span("left out"), tracer.start_as_current_span("part of it"):
        pass
    assert line.names == ["work", "work"]


def test_spans_that_are_long_under_way_count_as_not_taken(line: Line, clock: Clock) -> None:
    collector = Collector(line)
    seen: list[tuple[bool, bool]] = []

    def look() -> None:
        seen.append((collector.answers, collector.is_worth_recording(len(seen) + 1)))

    def slow(spans: Sequence[ReadableSpan]) -> SpanExportResult:
        look()
        clock.now += LAST_SPANS_S
        look()
        clock.now += OVERDUE_S
        look()
        look()
        return SpanExportResult.SUCCESS

    line.export = slow  # type: ignore[method-assign]
    collector.export([])
    look()
    # A process that ends waits less long than one that goes on; then one is tried.
    assert seen == [(True, True), (False, True), (False, True), (False, False), (True, True)]


AWAY = """
import time
from opentelemetry import trace
from laundry_service.telemetry.tracing import configure_tracing

configure_tracing("tests", "0")
tracer = trace.get_tracer("tests")
while True:
    with tracer.start_as_current_span("work") as span:
        if not span.is_recording():
            break
    time.sleep(0.01)
"""


def test_a_process_whose_collector_is_away_records_nothing_before_long() -> None:
    settings = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    subprocess.run(
        [sys.executable, "-c", AWAY], env={**os.environ, **settings}, stderr=DEVNULL, timeout=60, check=True
    )
