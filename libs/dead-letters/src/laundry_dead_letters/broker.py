"""Reads dead-letter queues without emptying them, and sends letters back to their queue."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import AMQPError, ChannelNotFoundEntity
from aiormq.exceptions import ChannelAccessRefused

from laundry_dead_letters.dead_letter import DeadLetter
from laundry_dead_letters.errors import BrokerAway, DeadLetterError
from laundry_events import wire  # noqa: F401 - what lies there may be what no other client can decode
from laundry_events.headers import short
from laundry_events.message_spans import sending_copy
from laundry_events.plan import REQUEUE_EXCHANGE, dead_queue
from laundry_events.refused_certificates import explained
from laundry_events.topology import PLAN

TIMEOUT_S = 10.0
KEPT = ("content_type", "content_encoding", "correlation_id", "type", "app_id", "timestamp")


class HeldLetter:
    """A letter that this connection holds; the queue keeps it until ``remove``."""

    def __init__(self, message: AbstractIncomingMessage, queue: str) -> None:
        self.message = message
        properties = {name: getattr(message, name) for name in KEPT}
        self.letter = DeadLetter(
            queue=queue,
            message_id=message.message_id,
            headers=dict(message.headers),
            body=message.body,
            properties={name: value for name, value in properties.items() if value is not None},
        )

    async def remove(self) -> None:
        """Remove the letter from its queue for good."""
        await self.message.ack()


class QueueBrowser:
    """Walks a dead-letter queue, oldest first, up to the number of letters present at the start.

    The bound is what keeps a letter that dies again meanwhile from being met twice.
    """

    def __init__(self, queue: str, source: AbstractQueue, waiting: int, bound: int) -> None:
        self.waiting = waiting
        self.bound = bound
        self._queue = queue
        self._source = source
        self._taken = 0
        self._held: AbstractIncomingMessage | None = None
        self._latest: AbstractIncomingMessage | None = None

    def __aiter__(self) -> "QueueBrowser":
        return self

    async def __anext__(self) -> HeldLetter:
        if self._taken >= self.bound:
            raise StopAsyncIteration
        if self._latest is not None and not self._latest.processed:
            self._held = self._latest
        message = await self._source.get(fail=False, timeout=TIMEOUT_S)
        if message is None:
            raise StopAsyncIteration
        self._taken += 1
        self._latest = message
        return HeldLetter(message, self._queue)

    async def put_back(self) -> None:
        """Return everything that was not removed to the queue, in one step so that the order is kept."""
        for message in (self._latest, self._held):
            if message is not None and not message.processed:
                await message.nack(multiple=True, requeue=True)
                return


class Broker:
    """An operator's connection to the broker."""

    def __init__(self, connection: AbstractConnection, sending: AbstractChannel) -> None:
        self._connection = connection
        self._sending = sending

    @asynccontextmanager
    async def browse(self, queue: str, *, scan: int) -> AsyncIterator[QueueBrowser]:
        """Open the dead letters of a main queue; those not removed go back at the end.

        Raises:
            DeadLetterError: the broker has no such queue.
        """
        name = dead_queue(queue)
        channel = await self._connection.channel(publisher_confirms=False)
        try:
            source = await channel.declare_queue(name, passive=True, timeout=TIMEOUT_S)
        except ChannelNotFoundEntity as error:
            raise DeadLetterError(
                f"The broker has no queue {name}. Make it: laundry topology apply"
            ) from error
        waiting = int(source.declaration_result.message_count or 0)
        browser = QueueBrowser(queue, source, waiting, min(waiting, scan))
        try:
            yield browser
        finally:
            # A lost connection has returned them already.
            with suppress(AMQPError, OSError, TimeoutError, RuntimeError):
                async with asyncio.timeout(TIMEOUT_S):
                    await browser.put_back()
                    await channel.close()

    async def requeue(self, letter: DeadLetter, headers: Mapping[str, Any]) -> None:
        """Publish a copy to the letter's own queue and wait for the broker's confirm.

        Raises:
            aio_pika.exceptions.DeliveryError: refused (queue full) or unroutable; the copy is not stored.
        """
        await self._send(REQUEUE_EXCHANGE, letter.queue, letter, headers)

    async def publish_at_origin(self, letter: DeadLetter, headers: Mapping[str, Any]) -> None:
        """Publish a copy to the exchange where the message was first published, as a new message.

        For a letter that its consumer did not sign, and would not take back. Only an administrator may.

        Raises:
            aio_pika.exceptions.DeliveryError: as ``requeue``.
            DeadLetterError: this login may not publish there.
        """
        _, key = letter.origin
        exchange = PLAN.queue(letter.queue).exchange
        try:
            await self._send(exchange, key, letter, headers)
        except ChannelAccessRefused as error:
            raise DeadLetterError(
                f"This login may not publish to {exchange}: an administrator of the broker must send it."
            ) from error

    async def _send(self, to: str, key: str, letter: DeadLetter, headers: Mapping[str, Any]) -> None:
        exchange = await self._sending.get_exchange(to, ensure=False)
        message_id = short(letter.message_id)
        with sending_copy(to, key, headers=headers, body=letter.body, message_id=message_id) as sent:
            message = aio_pika.Message(
                letter.body,
                headers=sent,
                message_id=message_id,
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                **_sendable(letter.properties),
            )
            await exchange.publish(message, key, mandatory=True, timeout=TIMEOUT_S)


def _sendable(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties as they can be encoded again; a time before 1970 cannot."""
    found: dict[str, Any] = {}
    for name, value in properties.items():
        if name == "timestamp":
            if isinstance(value, datetime) and value.timestamp() >= 0:
                found[name] = value
        else:
            found[name] = short(value)
    return found


@asynccontextmanager
async def connected(urls: Sequence[str]) -> AsyncIterator[Broker]:
    """Connect to the first broker node that answers. Raises BrokerAway when none does."""
    connection: AbstractConnection | None = None
    problems: list[str] = []
    for url in urls:
        try:
            connection = await aio_pika.connect(url, timeout=TIMEOUT_S)
            break
        except (AMQPError, OSError, TimeoutError) as error:
            problems.append(explained(error) or f"{type(error).__name__} {error}".strip())
    if connection is None:
        raise BrokerAway(
            f"No broker answers ({'; '.join(problems) or 'no address given'}). See: laundry status"
        )
    async with connection:
        yield Broker(connection, await connection.channel(publisher_confirms=True, on_return_raises=True))
