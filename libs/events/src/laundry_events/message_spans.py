"""Spans of messages, by OpenTelemetry's conventions for messaging and RabbitMQ.

A message carries the context of the span that published it, and handling it goes on from there. A copy (a
retry, a dead letter that somebody sends back) keeps the context of the event, so that every attempt stands
beside the first in its trace, and names the span that made it in ``x-trace-link``: attempts are linked, also
where hours and a person's own trace lie between them.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from laundry_events.headers import TRACE_LINK, clean

if TYPE_CHECKING:
    # Whoever only publishes has no FastStream, which it needs.
    from laundry_events.delivery import Delivery

ERROR_CHARS = 200

SENDING = "laundry_events.sending"
"""The producers' tracer has a name of its own: where nothing is exported, their spans can be done without."""

tracer = trace.get_tracer("laundry_events")
sending = trace.get_tracer(SENDING)
_link_format = TraceContextTextMapPropagator()


@contextmanager
def sending_event(
    exchange: str, routing_key: str, *, headers: Mapping[str, Any], body: bytes, message_id: str | None
) -> Iterator[dict[str, Any]]:
    """Make the producer's span of an event, as a child of the span that made the event.

    Yields:
        the headers to send it with: they lead to this span.
    """
    with _sending(exchange, routing_key, headers, body, message_id, context=_made_in(headers)) as span:
        sent = dict(headers)
        if span.is_recording():
            propagate.inject(sent)
        yield sent


@contextmanager
def sending_copy(
    exchange: str, routing_key: str, *, headers: Mapping[str, Any], body: bytes, message_id: str | None
) -> Iterator[dict[str, Any]]:
    """Make the producer's span of a copy, as a child of the current span.

    Yields:
        the headers to send it with: in the event's own trace, linked with this span.
    """
    with _sending(exchange, routing_key, headers, body, message_id):
        sent = {name: value for name, value in headers.items() if name != TRACE_LINK}
        link: dict[str, str] = {}
        _link_format.inject(link)
        # A span that is not recorded is not the current one, and there may be none around it.
        if link:
            sent[TRACE_LINK] = link["traceparent"]
            # What equipment sends is in no trace until it is first handled.
            sent.setdefault("traceparent", link["traceparent"])
        yield sent


@contextmanager
def processing(delivery: "Delivery") -> Iterator[Span]:
    """Make the consumer's span of a delivery, as a child of the span that published its event."""
    queue, raw = delivery.queue.name, delivery.raw
    attributes = {
        **_attributes("process", raw.exchange or "", delivery.routing_key, raw.message_id, delivery.body),
        "messaging.destination.name": queue,
        "messaging.rabbitmq.message.delivery_tag": delivery.tag,
        "laundry.message.attempt": delivery.attempt,
    }
    with tracer.start_as_current_span(
        f"process {queue}",
        context=_context_of(delivery),
        kind=SpanKind.CONSUMER,
        attributes=attributes,
        links=_links(delivery.headers),
    ) as span:
        yield span


@contextmanager
def committing(queue: str, spans: Sequence[Span]) -> Iterator[None]:
    """Make the span of one transaction for several messages, given by their consumers' spans.

    It is in the first one's trace and linked with the others, which are linked with it.
    """
    others = [span.get_span_context() for span in spans[1:]]
    with tracer.start_as_current_span(
        f"commit {queue}",
        context=trace.set_span_in_context(spans[0], Context()),
        attributes={"messaging.batch.message_count": len(spans)},
        links=[Link(each) for each in others if each.is_valid],
    ) as span:
        if span.is_recording():
            for other in spans[1:]:
                other.add_link(span.get_span_context())
        yield


def note_failure(error: BaseException) -> None:
    """Say on the current span that what it stands for failed."""
    span = trace.get_current_span()
    span.set_status(StatusCode.ERROR, clean(str(error), ERROR_CHARS))
    span.set_attribute("error.type", type(error).__qualname__)


@contextmanager
def _sending(
    exchange: str,
    routing_key: str,
    headers: Mapping[str, Any],
    body: bytes,
    message_id: str | None,
    *,
    context: Any = None,
) -> Iterator[Span]:
    span = sending.start_span(
        f"send {routing_key}",
        context=context,
        kind=SpanKind.PRODUCER,
        attributes=_attributes("send", exchange, routing_key, message_id, body),
    )
    if not span.is_recording():
        yield span
        return
    with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            yield span
        except Exception as error:
            note_failure(error)
            raise


def _context_of(delivery: "Delivery") -> Context:
    """Return the context that a message was sent in; what equipment sends has none."""
    return propagate.extract(delivery.text_headers) if "traceparent" in delivery.headers else Context()


def _made_in(headers: Mapping[str, Any]) -> Any:
    """Return the context that an event was made in; None, which means the current one, if it names none."""
    if "traceparent" not in headers:
        return None
    return propagate.extract({name: text for name, text in headers.items() if isinstance(text, str)})


def _links(headers: Mapping[str, Any]) -> list[Link]:
    said = headers.get(TRACE_LINK)
    if not isinstance(said, str):
        return []
    found = trace.get_current_span(_link_format.extract({"traceparent": said})).get_span_context()
    return [Link(found)] if found.is_valid else []


def _attributes(
    operation: str, exchange: str, routing_key: str, message_id: str | None, body: bytes
) -> dict[str, str | int]:
    found: dict[str, str | int] = {
        "messaging.system": "rabbitmq",
        "messaging.operation.type": operation,
        "messaging.operation.name": "publish" if operation == "send" else operation,
        "messaging.destination.name": f"{exchange}:{routing_key}" if exchange else routing_key,
        "messaging.rabbitmq.destination.routing_key": routing_key,
        "messaging.message.body.size": len(body),
    }
    if message_id:
        found["messaging.message.id"] = message_id
    return found
