"""Every attempt at an event is in its trace, and linked with the one before and with who sent it back."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, Tracer
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from laundry_dead_letters.actions import Bounds, Tally, redrive
from laundry_dead_letters.audit import FileAudit
from laundry_dead_letters.broker import connected
from laundry_dead_letters.dead_letter import OperatorAction, Selection
from laundry_events import EventMeta, PermanentError, Publisher, Received, Unroutable, message_spans
from laundry_events.batches import Batches
from laundry_events.broker import ConsumingBroker
from laundry_events.events import TaskRead
from laundry_testing.events import reading
from laundry_testing.messaging import Messaging, eventually

from .consuming import consume

QUEUE = "task.read"


class Spans:
    """The spans of this test."""

    def __init__(self) -> None:
        self._ended = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._ended))
        self.tracer: Tracer = provider.get_tracer("tests")

    def named(self, name: str) -> Sequence[ReadableSpan]:
        return [span for span in self._ended.get_finished_spans() if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.named(name)
        return span


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spans]:
    spans = Spans()
    monkeypatch.setattr(message_spans, "tracer", spans.tracer)
    monkeypatch.setattr(message_spans, "sending", spans.tracer)
    yield spans


def is_child(span: ReadableSpan, parent: ReadableSpan) -> bool:
    assert span.parent is not None
    return (span.parent.trace_id, span.parent.span_id) == (parent.context.trace_id, parent.context.span_id)


def linked(span: ReadableSpan) -> list[tuple[int, int]]:
    return [(link.context.trace_id, link.context.span_id) for link in span.links]


def place(span: ReadableSpan) -> tuple[int, int]:
    return span.context.trace_id, span.context.span_id


@pytest.mark.servers
async def test_retries_and_redrives_are_attempts_in_one_trace_and_linked(
    messaging: Messaging, broker: ConsumingBroker, publisher: Publisher, spans: Spans, tmp_path: Path
) -> None:
    consumer = consume(broker, publisher)
    attempts: list[int] = []

    @consumer.on(QUEUE, TaskRead, prefetch=1)
    async def handle(event: TaskRead, meta: EventMeta) -> None:
        attempts.append(meta.attempt)
        if len(attempts) == 1:
            raise RuntimeError("the first time")
        if len(attempts) == 2:
            raise PermanentError("the second time")

    await broker.start()
    with spans.tracer.start_as_current_span("POST"):
        await publisher.publish(reading())
    await eventually(lambda: spans.named(f"send {QUEUE}.dlq"), what="a dead letter")
    with spans.tracer.start_as_current_span("an operator's request"):
        async with connected([messaging.amqp_url]) as letters:
            await redrive(
                letters,
                QUEUE,
                Selection(),
                Bounds(),
                Tally(),
                act=OperatorAction("redrive", "tester", "again"),
                audit=FileAudit(tmp_path / "audit.jsonl"),
                rate=1000,
            )
    await eventually(lambda: len(spans.named(f"process {QUEUE}")) == 3, what="the third attempt")

    request, operator = spans.one("POST"), spans.one("an operator's request")
    sent, redriven = spans.named(f"send {QUEUE}")
    retried, died = spans.one(f"send {QUEUE}.retry.1s"), spans.one(f"send {QUEUE}.dlq")
    first, second, third = spans.named(f"process {QUEUE}")
    assert is_child(sent, request)
    assert all(is_child(each, sent) for each in (first, second, third))
    assert is_child(retried, first)
    assert is_child(died, second)
    assert is_child(redriven, operator)
    assert place(redriven)[0] != place(sent)[0]
    assert [linked(each) for each in (first, second, third)] == [[], [place(retried)], [place(redriven)]]
    assert [each.status.is_ok for each in (first, second, third)] == [False, False, True]
    assert {each.kind for each in (sent, redriven, retried, died)} == {SpanKind.PRODUCER}
    assert {each.kind for each in (first, second, third)} == {SpanKind.CONSUMER}
    said = dict(first.attributes or {})
    assert said["messaging.system"] == "rabbitmq"
    assert (said["messaging.operation.type"], said["messaging.destination.name"]) == ("process", QUEUE)
    assert said["messaging.message.id"] == dict(sent.attributes or {})["messaging.message.id"]
    assert said["error.type"] == "RuntimeError"


@pytest.mark.servers
async def test_an_event_that_nobody_takes_fails_its_span(publisher: Publisher, spans: Spans) -> None:
    with pytest.raises(Unroutable):
        await publisher.send("laundry.events", "nobody.takes", body=b"{}", headers={}, message_id="m1")
    span = spans.one("send nobody.takes")
    assert not span.status.is_ok
    assert dict(span.attributes or {})["error.type"] == "Unroutable"


@pytest.mark.servers
async def test_one_transaction_for_several_messages_is_linked_with_each(
    engine: AsyncEngine, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("laundry_events.batches.WITHIN_S", 60)

    async def handle(session: AsyncConnection, messages: Sequence[Received[TaskRead]]) -> None:
        with spans.tracer.start_as_current_span("INSERT"):
            pass

    batches = Batches(QUEUE, handle, inbox="tests", transaction=engine.begin, is_away=lambda error: False)

    async def receive(number: int) -> None:
        meta = EventMeta(f"m{number}", "TaskRead", "/tests", None, None, 1, QUEUE, QUEUE)
        with spans.tracer.start_as_current_span(f"process {number}", context=Context()):
            await batches.handle(reading(), meta)

    await asyncio.gather(*(receive(number) for number in range(3)))
    commit, effect = spans.one(f"commit {QUEUE}"), spans.one("INSERT")
    first, second, third = (spans.one(f"process {number}") for number in range(3))
    assert dict(commit.attributes or {})["messaging.batch.message_count"] == 3
    assert is_child(effect, commit)
    assert is_child(commit, first)
    assert linked(commit) == [place(second), place(third)]
    assert [linked(each) for each in (first, second, third)] == [[], [place(commit)], [place(commit)]]
    await receive(4)
    assert len(spans.named(f"commit {QUEUE}")) == 1, "alone it needs no span of its own"
    assert is_child(spans.named("INSERT")[1], spans.one("process 4"))


@pytest.mark.parametrize("said", ["", "00-0-0-01", "x" * 5_000, 7, None])
def test_a_link_that_leads_nowhere_is_none(said: object) -> None:
    assert message_spans._links({"x-trace-link": said}) == []


def test_a_copy_of_which_no_span_is_recorded_keeps_its_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_spans, "sending", TracerProvider(ALWAYS_OFF).get_tracer("tests"))
    headers = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "x-attempt": 2}
    with message_spans.sending_copy("", QUEUE, headers=headers, body=b"{}", message_id=None) as sent:
        assert sent == headers


def test_a_copy_stays_in_its_events_trace_and_begins_one_where_there_is_none(spans: Spans) -> None:
    said = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for headers, expected in (({"traceparent": said, "x-trace-link": "old"}, said), ({}, None)):
        with message_spans.sending_copy("", "q", headers=headers, body=b"", message_id=None) as sent:
            assert sent["x-trace-link"] != "old"
            assert sent["traceparent"] == (expected or sent["x-trace-link"])
