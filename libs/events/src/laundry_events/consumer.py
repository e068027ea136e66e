"""The one way to consume: decode, call the handler, ack; or climb the ladder. Nothing is left unacked.

FastStream carries the messages and the lifecycle. Decoding happens here and not in its middleware, so that
a message that cannot be decoded is dead-lettered with its reason like any other failure.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import structlog
from aio_pika import IncomingMessage
from faststream.middlewares import AckPolicy
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitMessage, RabbitQueue
from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import Counter, Histogram

from laundry_events.connection import RECONNECT_S, EndingConnection, connection_url
from laundry_events.envelope import MAX_MESSAGE_BYTES, EventMeta, attempt_of, decode, read_meta
from laundry_events.errors import (
    BrokerUnavailable,
    DrillError,
    InterruptedHandling,
    MalformedMessage,
    PublishError,
    Refused,
)
from laundry_events.events import Event
from laundry_events.gate import Gate, Need, Released
from laundry_events.ladder import next_move
from laundry_events.publisher import Publisher
from laundry_events.suspects import Suspects, deaths_of
from laundry_events.topology import DEAD_EXCHANGE, PLAN, RETRY_EXCHANGE, Plan

E = TypeVar("E", bound=Event)
Handler = Callable[[E, EventMeta], Awaitable[None]]
RawHandler = Callable[[bytes, EventMeta], Awaitable[None]]

CONSUMED = Counter("laundry_events_consumed", "Messages by what became of them", ["queue", "outcome"])
HANDLING = Histogram("laundry_events_handling_seconds", "Time in the handler", ["queue"])

CRASH = "crash"
RETURN_PAUSE_S = 1.0
CANCEL_TIMEOUT_S = 2.0
HOLD_S = 600.0
"""Longest that a message is held; well below the half hour after which the broker takes it back."""

log = structlog.get_logger(__name__)
tracer = trace.get_tracer("laundry_events")


class ConsumingBroker(RabbitBroker):
    """FastStream's broker, which lets go of held messages when it stops."""

    gate: Gate | None = None

    @property
    def paused_for(self) -> str | None:
        """Name of the server that consuming waits for, if any."""
        return self.gate.away if self.gate is not None else None

    async def start(self, *arguments: Any, **keywords: Any) -> None:
        """Connect and subscribe, also after a ``stop``: a first start fails while a queue is missing."""
        if self.gate is not None:
            self.gate.hold_again()
        await super().start(*arguments, **keywords)

    async def stop(self, *arguments: Any, **keywords: Any) -> None:
        """Take no more, finish what is in hand, close."""
        async with asyncio.TaskGroup() as cancelling:
            for subscriber in self.subscribers:
                cancelling.create_task(_take_no_more(subscriber))
        if self.gate is not None:
            self.gate.release()
        await super().stop(*arguments, **keywords)


async def _take_no_more(subscriber: Any) -> None:
    """Cancel a subscriber's consumer.

    FastStream cancels only after it has waited for what is in hand. Until then the broker would deliver more,
    and what is unacked when the channel closes counts as a delivery that killed its consumer.
    """
    queue, tag = getattr(subscriber, "_queue_obj", None), getattr(subscriber, "_consumer_tag", None)
    if queue is None or tag is None:
        return
    subscriber._consumer_tag = None
    with contextlib.suppress(Exception):  # a connection that is gone delivers nothing either
        async with asyncio.timeout(CANCEL_TIMEOUT_S):
            await queue.cancel(tag)


def make_broker(url: str, *, service: str, graceful_timeout_s: float = 15.0) -> ConsumingBroker:
    """Make the FastStream broker that a service consumes with (its publisher has a connection apart)."""
    broker = ConsumingBroker(
        connection_url(url, name=f"{service}/consume"),
        ack_policy=AckPolicy.MANUAL,
        graceful_timeout=graceful_timeout_s,
        # Its default of 5 s would win over the URL.
        reconnect_interval=RECONNECT_S,
        app_id=service,
        decoder=_undecoded,
        # Nothing is injected by type, and looking for it costs a fifth of a small message's time.
        apply_types=False,
        logger=None,
    )
    # FastStream hands these to aio-pika as they are, but takes no connection class itself.
    broker._connection_kwargs = {**broker._connection_kwargs, "connection_class": EndingConnection}
    return broker


async def _undecoded(message: Any) -> Any:
    """Hand over the message itself: headers and body are read in one place, here."""
    return message


class EventConsumer:
    """Subscribes handlers to the plan's queues."""

    def __init__(
        self,
        broker: RabbitBroker,
        publisher: Publisher,
        *,
        service: str,
        service_version: str,
        plan: Plan = PLAN,
        drills: bool = False,
        needs: Sequence[Need] = (),
    ) -> None:
        """Take the broker to consume with and the publisher that moves failed messages.

        While one of ``needs`` is away, messages are held and no attempt of theirs is counted.

        With ``drills``, a message with the header ``x-drill`` fails at every attempt, or ends its process if
        it says ``crash``: an operator can rehearse the ladder and the alerts on a system that is well.
        """
        self.broker = broker
        self._publisher = publisher
        self._service = service
        self._service_version = service_version
        self._plan = plan
        self._drills = drills
        self._gate = Gate(needs)
        if isinstance(broker, ConsumingBroker):
            broker.gate = self._gate

    def on(self, queue: str, event: type[E], *, prefetch: int) -> Callable[[Handler[E]], Handler[E]]:
        """Subscribe a handler ``(event, meta)`` to a quorum queue; it runs up to ``prefetch`` at a time.

        The handler returns when its effect is committed. ``PermanentError`` dead-letters the message at
        once; any other exception is retried after 1, 2 and 4 s.
        """

        def subscribe(handler: Handler[E]) -> Handler[E]:
            async def handle(body: bytes, meta: EventMeta) -> None:
                await handler(decode(body, meta, event), meta)

            self._subscribe(queue, handle, prefetch=prefetch, enveloped=True)
            return handler

        return subscribe

    def on_raw(self, queue: str, *, prefetch: int) -> Callable[[RawHandler], RawHandler]:
        """Subscribe a handler ``(body, meta)`` for messages that are no CloudEvents (MQTT samples)."""

        def subscribe(handler: RawHandler) -> RawHandler:
            self._subscribe(queue, handler, prefetch=prefetch, enveloped=False)
            return handler

        return subscribe

    def on_stream(self, stream: str, event: type[E]) -> Callable[[Handler[E]], Handler[E]]:
        """Subscribe a handler to a stream from its present end. Failures are logged, never retried:
        whoever reads a stream has another source of truth to catch up from.
        """

        def subscribe(handler: Handler[E]) -> Handler[E]:
            spec = RabbitQueue(stream, queue_type=QueueType.STREAM, durable=True, declare=False)

            @self.broker.subscriber(
                spec, channel=Channel(prefetch_count=10), consume_args={"x-stream-offset": "next"}
            )
            async def receive(message: RabbitMessage) -> None:
                raw = message.raw_message
                try:
                    meta = _meta_of(raw, stream)
                    await handler(decode(raw.body, meta, event), meta)
                    CONSUMED.labels(stream, "ok").inc()
                except Exception:
                    CONSUMED.labels(stream, "failed").inc()
                    log.exception("a stream message could not be handled", stream=stream)
                await message.ack()

            return handler

        return subscribe

    def _subscribe(self, queue: str, handler: RawHandler, *, prefetch: int, enveloped: bool) -> None:
        self._plan.queue(queue)
        suspects = Suspects(queue)
        spec = RabbitQueue(queue, queue_type=QueueType.QUORUM, durable=True, declare=False)

        @self.broker.subscriber(spec, channel=Channel(prefetch_count=prefetch))
        async def receive(message: RabbitMessage) -> None:
            async with suspects.turn(message.raw_message.message_id, deaths_of(message.raw_message.headers)):
                await self._receive(message, queue, handler, enveloped=enveloped)

    async def _receive(
        self, message: RabbitMessage, queue: str, handler: RawHandler, *, enveloped: bool
    ) -> None:
        raw = message.raw_message
        token = otel_context.attach(propagate.extract(_text_headers(raw)))
        started = time.perf_counter()
        try:
            with (
                tracer.start_as_current_span(f"process {queue}", kind=SpanKind.CONSUMER) as span,
                structlog.contextvars.bound_contextvars(queue=queue, event_id=raw.message_id),
            ):
                try:
                    _check_size(raw.body)
                    if self._drills and "x-drill" in raw.headers:
                        _drill(raw.headers["x-drill"])
                    meta = _meta_of(raw, queue) if enveloped else _raw_meta(raw, queue)
                    await self._handle(handler, raw.body, meta)
                except (Released, BrokerUnavailable, Refused) as error:
                    # Nothing is wrong with the message: what it leads to finds no room at the broker, or the
                    # consumer ends.
                    await self._give_back(message, queue, error)
                except Exception as error:
                    span.set_status(StatusCode.ERROR, str(error)[:200])
                    await self._failed(message, queue, error)
                else:
                    await message.ack()
                    CONSUMED.labels(queue, "ok").inc()
        finally:
            HANDLING.labels(queue).observe(time.perf_counter() - started)
            otel_context.detach(token)

    async def _handle(self, handler: RawHandler, body: bytes, meta: EventMeta) -> None:
        """Call the handler, again if it failed for a server that was away meanwhile."""
        while True:
            try:
                await self._gate.passes(within_s=HOLD_S)
            except TimeoutError:
                raise Released from None
            try:
                await _uncancelled(handler(body, meta))
            except Exception as error:
                if not await self._gate.shuts_for(error):
                    raise
            else:
                return

    async def _give_back(self, message: RabbitMessage, queue: str, error: Exception) -> None:
        """Return a message to its queue as it is; a nack counts neither as an attempt nor as a delivery."""
        if not isinstance(error, Released):
            log.warning(
                "a message goes back to its queue", error=f"{type(error).__qualname__}: {error}"[:500]
            )
            # Its next delivery would come at once.
            await asyncio.sleep(RETURN_PAUSE_S)
        await message.nack(requeue=True)
        CONSUMED.labels(queue, "returned").inc()

    async def _failed(self, message: RabbitMessage, queue: str, error: Exception) -> None:
        raw = message.raw_message
        attempt = attempt_of(raw.headers)
        move = next_move(
            raw.headers,
            queue=queue,
            routing_key=raw.routing_key or queue,
            attempt=attempt,
            error=error,
            service=self._service,
            service_version=self._service_version,
        )
        outcome = "dead" if move.dead else "retried"
        say = log.error if move.dead else log.warning
        say(
            f"message {outcome}",
            attempt=attempt,
            to=move.queue,
            error_class=type(error).__qualname__,
            error=str(error)[:500],
        )
        try:
            await self._publisher.send(
                DEAD_EXCHANGE if move.dead else RETRY_EXCHANGE,
                move.queue,
                body=raw.body,
                headers=move.headers,
                message_id=raw.message_id,
                content_type=raw.content_type,
            )
        except PublishError as unpublished:
            # Its copy is not stored, so the original must stay.
            await self._give_back(message, queue, unpublished)
            return
        await message.ack()
        CONSUMED.labels(queue, outcome).inc()


async def _uncancelled(handling: Awaitable[None]) -> None:
    """Await a handler; a library's cancellation inside it is a failure like any other.

    It would pass every ``except Exception`` and leave the message unacknowledged while the channel lives.
    """
    try:
        await handling
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise InterruptedHandling("something that the handler waited for was cancelled") from error


def _check_size(body: bytes) -> None:
    if len(body) > MAX_MESSAGE_BYTES:
        raise MalformedMessage(f"the body has {len(body)} bytes; at most {MAX_MESSAGE_BYTES} are taken")


def _drill(kind: object) -> None:
    if kind == CRASH:
        log.error("this message was sent to end its process")
        os.kill(os.getpid(), signal.SIGKILL)
    raise DrillError("this message was sent to fail")


def _text_headers(raw: IncomingMessage) -> dict[str, str]:
    return {k: v for k, v in raw.headers.items() if isinstance(v, str)}


def _meta_of(raw: IncomingMessage, queue: str) -> EventMeta:
    return read_meta(
        raw.headers, queue=queue, routing_key=raw.routing_key or "", redelivered=bool(raw.redelivered)
    )


def _raw_meta(raw: IncomingMessage, queue: str) -> EventMeta:
    return EventMeta(
        id=raw.message_id or "",
        type="",
        source="",
        subject=None,
        time=None,
        version=0,
        queue=queue,
        routing_key=raw.routing_key or "",
        attempt=attempt_of(raw.headers),
        redelivered=bool(raw.redelivered),
        headers=raw.headers,
    )
