"""The one way to consume: decode, call the handler, ack; or climb the ladder. Nothing is left unacked.

FastStream carries the messages and the lifecycle. Decoding happens here and not in its middleware, so that
a message that cannot be decoded is dead-lettered with its reason like any other failure.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog
from aio_pika import IncomingMessage
from aio_pika.exceptions import ChannelInvalidStateError
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitMessage, RabbitQueue
from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.trace import SpanKind, StatusCode
from prometheus_client import Histogram

from laundry_events.broker import ConsumingBroker
from laundry_events.circuit_breaker import CircuitBreaker, Dependency, HalfOpenProbe, HoldEnded
from laundry_events.envelope import EventMeta, decode
from laundry_events.errors import (
    BrokerUnavailable,
    ConsumerKilled,
    InterruptedHandling,
    NotSigned,
    PublishError,
    RequeueMessage,
)
from laundry_events.events import Event
from laundry_events.in_flight import InFlight, held
from laundry_events.poison import DEAD_LETTER_AT, HANDLE_ANYWAY_AT, PoisonIsolation, failed_deliveries
from laundry_events.publisher import Publisher
from laundry_events.received import check_size, drill, meta_of, raw_meta, text_headers
from laundry_events.republisher import Republisher
from laundry_events.settlement import CONSUMED, Settlement
from laundry_events.signing import NOT_SIGNED, MessageSigner
from laundry_events.topology import PLAN, Plan

E = TypeVar("E", bound=Event)
Handler = Callable[[E, EventMeta], Awaitable[None]]
RawHandler = Callable[[bytes, EventMeta], Awaitable[None]]
Attempt = Callable[[IncomingMessage], Awaitable[None]]

HANDLING = Histogram("laundry_events_handling_seconds", "Time in the handler", ["queue"])

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
        dependencies: Sequence[Dependency] = (),
        signer: MessageSigner | None = None,
    ) -> None:
        """Take the broker to consume with and the publisher whose login moves failed messages.

        Republisher of failed messages are signed by ``signer``, and only what it signed may come back.

        While one of ``needs`` is away, messages are held and no attempt of theirs is counted.

        With ``drills``, a message with the header ``x-drill`` fails at every attempt, or ends its process if
        it says ``crash``: an operator can rehearse the ladder and the alerts on a system that is well.
        """
        self.broker = broker
        self._signer = signer or MessageSigner(None)
        self._in_flight = InFlight()
        copies = Republisher(publisher)
        self._failure = Settlement(
            copies, self._signer, self._in_flight, service=service, service_version=service_version
        )
        self._plan = plan
        self._drills = drills
        # What is handled while the broker takes nothing would be handled in vain, each time anew.
        broker_dependency = Dependency(
            "broker", lambda error: isinstance(error, BrokerUnavailable), publisher.can_publish
        )
        self._gate = CircuitBreaker((*dependencies, broker_dependency))
        if isinstance(broker, ConsumingBroker):
            broker.gate = self._gate
            broker.in_flight = self._in_flight
            broker.copies = copies

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
        self._in_flight.watch(queue, window=prefetch)
        self._signer.watch(queue)
        suspects = PoisonIsolation(queue)
        spec = RabbitQueue(queue, queue_type=QueueType.QUORUM, durable=True, declare=False)

        async def attempt(raw: IncomingMessage) -> None:
            try:
                self._signer.check(raw, queue)
            except NotSigned:
                NOT_SIGNED.labels(queue).inc()
                raise
            check_size(raw.body)
            if self._drills and "x-drill" in raw.headers:
                drill(raw.headers["x-drill"])
            meta = meta_of(raw, queue) if enveloped else raw_meta(raw, queue)
            await handler(raw.body, meta)

        @self.broker.subscriber(spec, channel=Channel(prefetch_count=prefetch))
        async def receive(message: RabbitMessage) -> None:
            with self._in_flight.taken(queue):
                try:
                    await self._receive(message, queue, attempt, suspects)
                except Exception as error:
                    if _is_gone(message.raw_message):
                        # With its channel: the broker has it back.
                        CONSUMED.labels(queue, "returned").inc()
                    else:
                        await self._failure.broke(message, queue, error)

    async def _receive(
        self, message: RabbitMessage, queue: str, attempt: Attempt, suspects: PoisonIsolation
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
                except HoldEnded as error:
                    await self._give_back(message, queue, error)
                except ConnectionGone:
                    CONSUMED.labels(queue, "returned").inc()
                except ConsumerKilled as error:
                    span.set_status(StatusCode.ERROR, str(error)[:200])
                    await self._failure.failed(message, queue, error)
        finally:
            HANDLING.labels(queue).observe(time.perf_counter() - started)
            otel_context.detach(token)

    async def _handle(
        self, message: RabbitMessage, queue: str, attempt: Attempt, suspects: PoisonIsolation
    ) -> None:
        """Handle a message, again if it failed for a server that was away meanwhile."""
        raw = message.raw_message
        deaths = failed_deliveries(raw.headers)
        if deaths >= DEAD_LETTER_AT:
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
            if self._gate.shut and deaths < HANDLE_ANYWAY_AT:
                trial = await self._wait_at_gate(raw, until - time.monotonic())
            try:
                async with suspects.turn(raw.message_id, deaths, within_s=until - time.monotonic()):
                    # Until it is acknowledged: the next one may end the process.
                    settled = await self._try(message, queue, attempt, trial)
            finally:
                if trial is not None:
                    trial.end()

    async def _try(
        self, message: RabbitMessage, queue: str, attempt: Attempt, trial: HalfOpenProbe | None
    ) -> bool:
        """Handle a message once and settle it; false if it must wait."""
        raw = message.raw_message
        try:
            await _uncancelled(attempt(raw))
        except Exception as error:
            if await self._gate.shuts_for(error, message=raw.message_id or str(raw.delivery_tag)):
                if trial is None and failed_deliveries(raw.headers) < HANDLE_ANYWAY_AT:
                    return False
                if trial is not None:
                    trial.end(False)
                await self._failure.defer(message, queue)
            elif isinstance(error, RequeueMessage | PublishError):
                # Nothing is wrong with the message: what it leads to finds no room or no queue at the broker.
                await self._give_back(message, queue, error)
            else:
                trace.get_current_span().set_status(StatusCode.ERROR, str(error)[:200])
                await self._failure.failed(message, queue, error)
        else:
            if trial is not None or self._gate.troubled:
                self._gate.went_well(trial)
            await message.ack()
            CONSUMED.labels(queue, "ok").inc()
        return True

    async def _wait_at_gate(self, raw: IncomingMessage, within_s: float) -> HalfOpenProbe | None:
        with held():
            trial = await self._gate.passes(within_s=within_s)
        if _is_gone(raw):
            if trial is not None:
                trial.end()
            raise ConnectionGone
        return trial

    async def _give_back(self, message: RabbitMessage, queue: str, error: Exception) -> None:
        await self._failure.give_back(message, queue, error)


def _is_gone(raw: IncomingMessage) -> bool:
    """Whether the channel that delivered a message is closed."""
    try:
        _ = raw.channel
    except ChannelInvalidStateError:
        return True
    return False


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
