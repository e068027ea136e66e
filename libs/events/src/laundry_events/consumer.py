"""The one way to consume: decode, call the handler, ack; or climb the ladder. Nothing is left unacked.

FastStream carries the messages and the lifecycle. Decoding happens here and not in its middleware, so that
a message that cannot be decoded is dead-lettered with its reason like any other failure.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import structlog
from aio_pika import IncomingMessage
from aio_pika.exceptions import ChannelInvalidStateError
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitMessage, RabbitQueue
from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import Counter, Histogram

from laundry_events.broker import ConsumingBroker
from laundry_events.envelope import EventMeta, attempt_of, decode
from laundry_events.errors import (
    BrokerUnavailable,
    ConsumerKilled,
    InterruptedHandling,
    NotNow,
    PublishError,
)
from laundry_events.events import Event
from laundry_events.gate import Gate, Need, Released, Trial
from laundry_events.ladder import next_move, put_off
from laundry_events.publisher import Publisher
from laundry_events.received import check_size, drill, meta_of, raw_meta, text_headers
from laundry_events.suspects import BURY_AT, TRY_AT, Suspects, deaths_of
from laundry_events.topology import (
    DEAD_EXCHANGE,
    PLAN,
    RETRY_DELAYS_S,
    RETRY_EXCHANGE,
    Plan,
    retry_queue,
)

E = TypeVar("E", bound=Event)
Handler = Callable[[E, EventMeta], Awaitable[None]]
RawHandler = Callable[[bytes, EventMeta], Awaitable[None]]
Attempt = Callable[[IncomingMessage], Awaitable[None]]

CONSUMED = Counter("laundry_events_consumed", "Messages by what became of them", ["queue", "outcome"])
HANDLING = Histogram("laundry_events_handling_seconds", "Time in the handler", ["queue"])

RETURN_PAUSE_S = 1.0
HOLD_S = 600.0
"""Longest that a message is held; well below the half hour after which the broker takes it back."""


class ConnectionGone(Exception):
    """The broker took the message back while it was held; somebody has it by now."""


log = structlog.get_logger(__name__)
tracer = trace.get_tracer("laundry_events")


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
        # What is handled while the broker takes nothing would be handled in vain, each time anew.
        needs_broker = Need(
            "broker", lambda error: isinstance(error, BrokerUnavailable), publisher.unhindered
        )
        self._gate = Gate((*needs, needs_broker))
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
                    meta = meta_of(raw, stream)
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

        async def attempt(raw: IncomingMessage) -> None:
            check_size(raw.body)
            if self._drills and "x-drill" in raw.headers:
                drill(raw.headers["x-drill"])
            meta = meta_of(raw, queue) if enveloped else raw_meta(raw, queue)
            await handler(raw.body, meta)

        @self.broker.subscriber(spec, channel=Channel(prefetch_count=prefetch))
        async def receive(message: RabbitMessage) -> None:
            await self._receive(message, queue, attempt, suspects)

    async def _receive(
        self, message: RabbitMessage, queue: str, attempt: Attempt, suspects: Suspects
    ) -> None:
        raw = message.raw_message
        token = otel_context.attach(propagate.extract(text_headers(raw)))
        started = time.perf_counter()
        try:
            with (
                tracer.start_as_current_span(f"process {queue}", kind=SpanKind.CONSUMER) as span,
                structlog.contextvars.bound_contextvars(queue=queue, event_id=raw.message_id),
            ):
                try:
                    await self._handle(message, queue, attempt, suspects)
                except Released as error:
                    await self._give_back(message, queue, error)
                except ConnectionGone:
                    CONSUMED.labels(queue, "returned").inc()
                except ConsumerKilled as error:
                    span.set_status(StatusCode.ERROR, str(error)[:200])
                    await self._failed(message, queue, error)
        finally:
            HANDLING.labels(queue).observe(time.perf_counter() - started)
            otel_context.detach(token)

    async def _handle(self, message: RabbitMessage, queue: str, attempt: Attempt, suspects: Suspects) -> None:
        """Handle a message, again if it failed for a server that was away meanwhile."""
        raw = message.raw_message
        deaths = deaths_of(raw.headers)
        if deaths >= BURY_AT:
            raise ConsumerKilled(f"{deaths} consumers died, or lost their connection, with it in hand")
        settled = False
        until = time.monotonic() + HOLD_S
        if not deaths and not self._gate.shut and suspects.none:
            suspects.begins()
            try:
                settled = await self._try(message, queue, attempt, None)
            finally:
                if suspects.ends():
                    await suspects.tell()
        while not settled:
            trial = None
            if self._gate.shut and deaths < TRY_AT:
                trial = await self._wait_at_gate(raw, until - time.monotonic())
            try:
                async with suspects.turn(raw.message_id, deaths, within_s=until - time.monotonic()):
                    # Until it is acknowledged: the next one may end the process.
                    settled = await self._try(message, queue, attempt, trial)
            finally:
                if trial is not None:
                    trial.end()

    async def _try(self, message: RabbitMessage, queue: str, attempt: Attempt, trial: Trial | None) -> bool:
        """Handle a message once and settle it; false if it must wait."""
        raw = message.raw_message
        try:
            await _uncancelled(attempt(raw))
        except Exception as error:
            if await self._gate.shuts_for(error, message=raw.message_id or str(raw.delivery_tag)):
                if trial is None and deaths_of(raw.headers) < TRY_AT:
                    return False
                if trial is not None:
                    trial.end(False)
                await self._put_off(message, queue)
            elif isinstance(error, NotNow | PublishError):
                # Nothing is wrong with the message: what it leads to finds no room or no queue at the broker.
                await self._give_back(message, queue, error)
            else:
                trace.get_current_span().set_status(StatusCode.ERROR, str(error)[:200])
                await self._failed(message, queue, error)
        else:
            if trial is not None or self._gate.troubled:
                self._gate.went_well(trial)
            await message.ack()
            CONSUMED.labels(queue, "ok").inc()
        return True

    async def _wait_at_gate(self, raw: IncomingMessage, within_s: float) -> Trial | None:
        trial = await self._gate.passes(within_s=within_s)
        try:
            _ = raw.channel
        except ChannelInvalidStateError:
            if trial is not None:
                trial.end()
            raise ConnectionGone from None
        return trial

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

    async def _put_off(self, message: RabbitMessage, queue: str) -> None:
        """Let others come first: a copy, without an attempt and without a count of deaths, joins the end."""
        raw = message.raw_message
        headers = put_off(raw.headers, queue=queue, routing_key=raw.routing_key or queue)
        try:
            await self._copy(raw, RETRY_EXCHANGE, retry_queue(queue, RETRY_DELAYS_S[-1]), headers)
        except PublishError as error:
            await self._give_back(message, queue, error)
            return
        await message.ack()
        CONSUMED.labels(queue, "put-off").inc()

    async def _copy(
        self, raw: IncomingMessage, exchange: str, routing_key: str, headers: dict[str, Any]
    ) -> None:
        await self._publisher.send(
            exchange,
            routing_key,
            body=raw.body,
            headers=headers,
            message_id=raw.message_id,
            content_type=raw.content_type,
        )

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
            exchange = DEAD_EXCHANGE if move.dead else RETRY_EXCHANGE
            await self._copy(raw, exchange, move.queue, move.headers)
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
