"""The connection that a service consumes on, with the start and stop behaviour that FastStream's broker
lacks."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from aio_pika import IncomingMessage, RobustConnection
from aio_pika.exceptions import ChannelInvalidStateError
from faststream.middlewares import AckPolicy
from faststream.rabbit import RabbitBroker
from faststream.rabbit.subscriber.usecase import RabbitSubscriber

from laundry_events.acknowledgements import Acknowledgements
from laundry_events.circuit_breaker import CircuitBreaker
from laundry_events.connection import RECONNECT_S, CancellableConnection, connection_url
from laundry_events.in_flight import InFlight
from laundry_events.libraries import UnsupportedLibrary, require
from laundry_events.partition_watch import PartitionWatch
from laundry_events.republisher import Republisher

CANCEL_TIMEOUT_S = 2.0

Take = Callable[[IncomingMessage, Acknowledgements], Awaitable[None]]
"""Takes a message to its end, and tells that with its channel's acknowledgements."""


class ConsumingBroker(RabbitBroker):
    """FastStream's broker that also leaves a partitioned node and releases held messages on shutdown."""

    breaker: CircuitBreaker | None = None
    in_flight: InFlight | None = None
    republisher: Republisher | None = None

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        """Accept the same arguments as ``RabbitBroker``.

        Raises:
            UnsupportedLibrary: this release of FastStream is not as it must be.
        """
        super().__init__(*arguments, **keywords)
        require("faststream", RabbitSubscriber, "_queue_obj", "_consumer_tag", "consume")
        if not isinstance(getattr(self, "_connection_kwargs", None), dict):
            raise UnsupportedLibrary("faststream", "keeps no arguments of its connection")
        # FastStream passes these to aio-pika unchanged but has no parameter for the connection class.
        self._connection_kwargs = {**self._connection_kwargs, "connection_class": CancellableConnection}
        self._connected: RobustConnection | None = None
        self._watch = PartitionWatch(lambda: self._connected)

    @property
    def paused_for(self) -> str | None:
        """The dependency that consumption is paused for, or None."""
        return self.breaker.away if self.breaker is not None else None

    @property
    def settles(self) -> bool:
        """Whether the messages taken are eventually settled, successfully or not."""
        return self.in_flight is None or self.in_flight.settles

    async def connect(self) -> RobustConnection:
        """Connect; cancelling the caller also ends the attempt.

        Raises:
            UnsupportedLibrary: FastStream connects in another way than it is told to.
        """
        connection = await super().connect()
        if not isinstance(connection, CancellableConnection):
            await self.stop()
            raise UnsupportedLibrary("faststream", f"connects with {type(connection).__name__}")
        self._connected = connection
        return connection

    async def start(self, *arguments: Any, **keywords: Any) -> None:
        """Connect and subscribe; may be called again after ``stop``, since a start fails while a queue is
        missing."""
        if self.breaker is not None:
            self.breaker.reset()
        # First: subscribing on a partitioned node would never return.
        self._watch.start()
        await super().start(*arguments, **keywords)

    async def stop(self, *arguments: Any, **keywords: Any) -> None:
        """Stop taking messages, finish those in flight, close."""
        await self._watch.stop()
        async with asyncio.TaskGroup() as cancelling:
            for subscriber in self.subscribers:
                cancelling.create_task(_take_no_more(subscriber))
        if self.breaker is not None:
            self.breaker.release()
        await super().stop(*arguments, **keywords)
        self._connected = None
        if self.republisher is not None:
            await self.republisher.stop()


async def _take_no_more(subscriber: Any) -> None:
    """Cancel a subscriber's consumer.

    FastStream cancels only after waiting for the messages in flight. Until then the broker would deliver
    more, and what is unacked when the channel closes counts as a delivery that killed its consumer.
    """
    queue, tag = subscriber._queue_obj, subscriber._consumer_tag
    if queue is None or tag is None:
        return
    subscriber._consumer_tag = None
    with contextlib.suppress(Exception):  # a lost connection delivers nothing anyway
        async with asyncio.timeout(CANCEL_TIMEOUT_S):
            await queue.cancel(tag)


def carry(subscriber: Any, take: Take) -> None:
    """Have a subscriber hand over each message as it comes, with the acknowledgements of its channel.

    FastStream's connection, channel, subscription and graceful stop stay. What it does with a message (a
    context, filters, parsers, middleware, a reply) is not used here and takes a quarter of the time.
    """
    of_channel: Acknowledgements | None = None

    async def consume(message: IncomingMessage) -> None:
        nonlocal of_channel
        try:
            channel = message.channel
        except ChannelInvalidStateError:
            return  # the broker has it back
        # Another one after each reconnect, whose deliveries are numbered anew.
        if of_channel is None or of_channel.channel is not channel:
            of_channel = Acknowledgements(channel)
        acknowledgements = of_channel
        acknowledgements.took(message.delivery_tag or 0)
        if subscriber.running:
            with subscriber.lock:
                await take(message, acknowledgements)

    subscriber.consume = consume
    # It consumes only if it has a handler.
    subscriber(_handled_otherwise)


async def _handled_otherwise(message: Any) -> None:
    raise UnsupportedLibrary("faststream", "hands over messages in another way than by `consume`")


def make_broker(url: str, *, service: str, graceful_timeout_s: float = 15.0) -> ConsumingBroker:
    """Make the FastStream broker that a service consumes on (the publisher has its own connection).

    Args:
        graceful_timeout_s: how long a stop waits for what is being handled.

    Raises:
        UnsupportedLibrary: the installed FastStream is none that can be used.
    """
    return ConsumingBroker(
        connection_url(url, name=f"{service}/consume"),
        ack_policy=AckPolicy.MANUAL,
        graceful_timeout=graceful_timeout_s,
        # Its default of 5 s would win over the URL.
        reconnect_interval=RECONNECT_S,
        app_id=service,
        decoder=_undecoded,
        # No dependency injection here, and resolving it takes a fifth of the time of a small message.
        apply_types=False,
        logger=None,
    )


async def _undecoded(message: Any) -> Any:
    """Return the raw message: this library decodes headers and body itself."""
    return message
