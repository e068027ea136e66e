"""Subscribes handlers to the queues of a plan.

FastStream carries the messages and the lifecycle. Decoding happens here and not in its middleware, so that
a message that cannot be decoded is dead-lettered with its reason like any other failure. What becomes of a
message stands in ``outcome``, the way there in ``subscription``.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

import structlog
from aio_pika import IncomingMessage
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitQueue

from laundry_events.acknowledgements import Acknowledgements
from laundry_events.batches import Batches, BatchHandler, S
from laundry_events.broker import ConsumingBroker, Take, carry
from laundry_events.circuit_breaker import CircuitBreaker, Dependency
from laundry_events.delivery import Delivery
from laundry_events.envelope import EventMeta, decode, decode_any
from laundry_events.errors import BrokerUnavailable
from laundry_events.event import Event
from laundry_events.in_flight import InFlight
from laundry_events.message_spans import note_failure, processing
from laundry_events.plan import Plan
from laundry_events.publisher import Publisher
from laundry_events.republisher import Republisher
from laundry_events.requests import Answerer, answer
from laundry_events.settlement import CONSUMED, Settlement
from laundry_events.signing import MessageSigner
from laundry_events.subscription import Subscription

E = TypeVar("E", bound=Event)
Handler = Callable[[E, EventMeta], Awaitable[None]]
RawHandler = Callable[[bytes, EventMeta], Awaitable[None]]

STREAM_PREFETCH = 10

log = structlog.get_logger(__name__)


class EventConsumer:
    """Subscribes handlers to the queues of the plan."""

    def __init__(
        self,
        broker: RabbitBroker,
        publisher: Publisher,
        plan: Plan,
        *,
        service: str,
        service_version: str,
        drills: bool = False,
        dependencies: Sequence[Dependency] = (),
        signer: MessageSigner | None = None,
    ) -> None:
        """Consume on ``broker``; failed messages are moved with the publisher's login.

        Args:
            dependencies: while one of them is away, messages are held and no attempt of theirs is counted.
            signer: signs the copies of failed messages; only what it signed may come back.
            drills: a message with the header ``x-drill`` fails at every attempt, or ends its process if it
                says ``crash``: an operator can rehearse retries and alerts on a healthy system.
        """
        self.broker = broker
        self._publisher = publisher
        self._plan = plan
        self._drills = drills
        self._signer = signer or MessageSigner(None)
        self._in_flight = InFlight()
        republisher = Republisher(publisher)
        self._settlement = Settlement(
            republisher, self._signer, self._in_flight, service=service, service_version=service_version
        )
        # What is handled while the broker takes nothing would be handled in vain, and again later.
        itself = Dependency(
            "broker", lambda error: isinstance(error, BrokerUnavailable), publisher.can_publish
        )
        self._breaker = CircuitBreaker((*dependencies, itself))
        if isinstance(broker, ConsumingBroker):
            broker.breaker = self._breaker
            broker.in_flight = self._in_flight
            broker.republisher = republisher

    def on(self, queue: str, event: type[E], *, prefetch: int) -> Callable[[Handler[E]], Handler[E]]:
        """Subscribe a handler ``(event, meta)`` to a quorum queue; it runs up to ``prefetch`` at a time.

        The handler returns when its effect is committed. ``PermanentError`` dead-letters the message at
        once; any other exception is retried after the delays that the plan gives the queue.

        Raises:
            KeyError: the plan has no such queue.
        """

        def subscribe(handler: Handler[E]) -> Handler[E]:
            async def handle(body: bytes, meta: EventMeta) -> None:
                await handler(decode(body, meta, event), meta)

            self._subscribe(queue, handle, prefetch=prefetch, enveloped=True)
            return handler

        return subscribe

    def on_batch(
        self,
        queue: str,
        event: type[E],
        *,
        prefetch: int,
        inbox: str,
        transaction: Callable[[], AbstractAsyncContextManager[S]],
    ) -> Callable[[BatchHandler[S, E]], BatchHandler[S, E]]:
        """Subscribe a handler ``(session, messages)`` that has the effects of several messages at once.

        It is called in a transaction in which each of them is claimed as ``inbox``, with those that had no
        effect before: what has arrived, one or up to a hundred, in this order. Each message is acknowledged
        after the commit. A handler that raises, or takes longer than a second, is rolled back and called
        again with each message alone, in a transaction of its own: then its error is that message's, as with
        ``on``.

        Args:
            prefetch: messages in flight at once, and so the most in one transaction.
            inbox: which effect this is, e.g. ``mlops.task-confirmed``; each has the message once.
            transaction: opens one, commits it, and rolls it back on an error.

        Raises:
            KeyError: the plan has no such queue.
        """

        def subscribe(handler: BatchHandler[S, E]) -> BatchHandler[S, E]:
            batches = Batches(
                queue, handler, inbox=inbox, transaction=transaction, is_away=self._breaker.is_away
            )
            self.on(queue, event, prefetch=prefetch)(batches.handle)
            return handler

        return subscribe

    def on_any(
        self, queue: str, events: Mapping[str, type[Event]], *, prefetch: int
    ) -> Callable[[Handler[Event]], Handler[Event]]:
        """Subscribe a handler to a queue that takes several events, given by their type.

        Such a queue takes copies of what others handle: a drill is meant for them, and not failed here.
        """

        def subscribe(handler: Handler[Event]) -> Handler[Event]:
            async def handle(body: bytes, meta: EventMeta) -> None:
                await handler(decode_any(body, meta, events), meta)

            self._subscribe(queue, handle, prefetch=prefetch, enveloped=True, drills=False)
            return handler

        return subscribe

    def on_raw(self, queue: str, *, prefetch: int) -> Callable[[RawHandler], RawHandler]:
        """Subscribe a handler ``(body, meta)`` for messages that are not CloudEvents (MQTT samples)."""

        def subscribe(handler: RawHandler) -> RawHandler:
            self._subscribe(queue, handler, prefetch=prefetch, enveloped=False)
            return handler

        return subscribe

    def on_stream(self, stream: str, event: type[E]) -> Callable[[Handler[E]], Handler[E]]:
        """Subscribe a handler to a stream, starting at its current end. Failures are logged, never retried:
        readers of a stream catch up from another source of truth.
        """

        def subscribe(handler: Handler[E]) -> Handler[E]:
            planned = self._plan.queue(stream)

            async def take(message: IncomingMessage, acknowledgements: Acknowledgements) -> None:
                delivery = Delivery(message, planned, acknowledgements)
                with processing(delivery):
                    try:
                        meta = delivery.envelope()
                        await handler(decode(delivery.body, meta, event), meta)
                        CONSUMED.labels(stream, "ok").inc()
                    except Exception as error:
                        note_failure(error)
                        CONSUMED.labels(stream, "failed").inc()
                        log.exception("a stream message could not be handled", stream=stream)
                await delivery.ack()

            self._carry(stream, take, prefetch=STREAM_PREFETCH, stream=True)
            return handler

        return subscribe

    def on_request(self, queue: str, *, prefetch: int) -> Callable[[Answerer], Answerer]:
        """Subscribe a handler ``(body, headers)`` that answers requests; its result goes to who asked.

        At most once: a request that fails, or is in flight when this process ends, has no answer.
        ``prefetch`` are answered at a time, and as many wait here.
        """

        # Without them all that is asked would be in hand at once, and nothing expire in its queue.
        slots = asyncio.Semaphore(prefetch)

        def subscribe(handler: Answerer) -> Answerer:
            async def take(message: IncomingMessage, acknowledgements: Acknowledgements) -> None:
                async with slots:
                    await acknowledgements.ack(message.delivery_tag or 0)
                    await answer(self._publisher, queue, message, handler)

            self._carry(queue, take, prefetch=prefetch)
            return handler

        return subscribe

    def _subscribe(
        self, queue: str, handler: RawHandler, *, prefetch: int, enveloped: bool, drills: bool = True
    ) -> None:
        planned = self._plan.queue(queue)
        subscription = Subscription(
            planned,
            handler,
            enveloped=enveloped,
            drills=self._drills and drills,
            breaker=self._breaker,
            signer=self._signer,
            in_flight=self._in_flight,
            settlement=self._settlement,
        )
        self._in_flight.watch(queue, window=prefetch)
        self._signer.watch(queue)
        self._settlement.watch(queue)

        async def take(message: IncomingMessage, acknowledgements: Acknowledgements) -> None:
            await subscription.receive(Delivery(message, planned, acknowledgements))

        self._carry(queue, take, prefetch=prefetch)

    def _carry(self, queue: str, take: Take, *, prefetch: int, stream: bool = False) -> None:
        """Have FastStream consume a queue, or a stream from its current end, on a channel of its own."""
        subscriber = self.broker.subscriber(
            RabbitQueue(queue, queue_type=QueueType.STREAM, durable=True, declare=False)
            if stream
            else RabbitQueue(queue, queue_type=QueueType.QUORUM, durable=True, declare=False),
            channel=Channel(prefetch_count=prefetch),
            consume_args={"x-stream-offset": "next"} if stream else None,
        )
        carry(subscriber, take)
