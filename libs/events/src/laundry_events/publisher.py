"""The one way to publish: persistent, mandatory, confirmed, timed out, on a connection of its own.

Consuming and publishing on one connection stall together under a broker alarm, so the consumer has
another (``consumer``). Publishing on the channel itself (``pipeline``), without declaring anything, needs no
right to configure and costs least.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import Any

import aio_pika
import structlog
from aio_pika.abc import AbstractRobustConnection
from aiormq.abc import AbstractConnection
from pamqp.commands import Basic
from prometheus_client import Gauge

from laundry_events.broker_settings import MESSAGE_BYTES
from laundry_events.confirms import publishing
from laundry_events.connection import RECONNECT_S, CancellableConnection, abandon, connection_url
from laundry_events.envelope import CONTENT_TYPE, OutgoingEvent, encode
from laundry_events.errors import BrokerUnavailable, Unpublishable
from laundry_events.event import Event
from laundry_events.frames import event_properties
from laundry_events.ids import new_id
from laundry_events.message_spans import sending_event
from laundry_events.pipeline import Pipeline
from laundry_events.plan import EVENTS_EXCHANGE

STALLED_S = 8.0
"""So long nothing may be confirmed before another connection is tried.

A node that is cut off from the others keeps its clients and confirms nothing, and heartbeats tell of a dead
connection only after half a minute.
"""

BLOCKED = Gauge("laundry_publisher_blocked", "1 while an alarm of the broker holds back what is published")

log = structlog.get_logger(__name__)


class Publisher:
    """A publishing connection. ``start`` never waits for the broker; ``publish`` fails while it is away."""

    def __init__(
        self, url: str, *, source: str, timeout_s: float = 5.0, stalled_s: float = STALLED_S
    ) -> None:
        """Publish to the broker at ``url`` as the service ``source``; times are in seconds."""
        self.source = source
        self.timeout_s = timeout_s
        self.stalled_s = stalled_s
        self._url = connection_url(url, name=f"{source}/publish")
        self._connection: AbstractRobustConnection | None = None
        self._channel: aio_pika.abc.AbstractRobustChannel | None = None
        self._pipeline: Pipeline | None = None
        self._starting: asyncio.Task[None] | None = None
        self._heard_at = 0.0
        self._abandoning: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start connecting in the background."""
        BLOCKED.set_function(lambda: float(self.blocked))
        if self._starting is None:
            self._starting = asyncio.create_task(self._connect(), name="publisher-connect")

    async def _connect(self) -> None:
        while self._channel is None:
            try:
                await self._connect_once()
            except Exception as error:
                # Once there is a channel the library restores it; until then only we retry.
                log.warning("the publisher cannot connect yet", error=f"{type(error).__name__}: {error}")
                await asyncio.sleep(RECONNECT_S)
        log.info("publisher connected", source=self.source)

    async def _connect_once(self) -> None:
        connection = await aio_pika.connect_robust(
            self._url, timeout=self.timeout_s, connection_class=CancellableConnection
        )
        try:
            async with asyncio.timeout(self.timeout_s):
                self._channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        except BaseException:
            await connection.close()
            raise
        self._heard_at = time.monotonic()
        self._connection = connection

    async def wait_connected(self, timeout_s: float = 30.0) -> None:
        """Wait until the broker can be published to.

        Raises:
            BrokerUnavailable: it was not reached in time.
        """
        await self.start()
        try:
            async with asyncio.timeout(timeout_s):
                if self._starting is not None:
                    await asyncio.shield(self._starting)
                if self._connection is not None:
                    await self._connection.connected.wait()
        except TimeoutError as error:
            raise BrokerUnavailable(f"no connection to the broker within {timeout_s:g} s") from error

    async def stop(self) -> None:
        """Close the connection; a publish that still waits for its confirm fails."""
        if self._starting is not None:
            self._starting.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await self._starting
            self._starting = None
        if self._connection is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(self.timeout_s):
                    await self._connection.close()
            self._connection = self._channel = self._pipeline = None

    @property
    def url(self) -> str:
        """The broker's address with its login and the name of this connection."""
        return self._url

    @property
    def connected(self) -> bool:
        """Whether there is a connection right now."""
        return (
            self._connection is not None and self._channel is not None and self._connection.connected.is_set()
        )

    @property
    def blocked(self) -> bool:
        """Whether the broker is blocking this connection because of a memory or disk alarm."""
        transport = self._connection.transport if self._connection is not None else None
        return self.connected and transport is not None and not _is_ready(transport.connection)

    async def can_publish(self) -> bool:
        """Whether publishing is unobstructed, as a health check."""
        return self.connected and not self.blocked

    async def publish(self, event: Event, *, event_id: str | None = None) -> str:
        """Publish an event and wait for the broker's confirm.

        Returns:
            the event's id.

        Raises:
            EventTooLarge: it exceeds 64 KiB.
            BrokerUnavailable: not confirmed; it may or may not be stored.
            Refused: the queue is full or has no majority.
            Unroutable: no queue takes it.
        """
        outgoing = encode(event, source=f"/{self.source}", event_id=event_id)
        await self.send_event(outgoing)
        return outgoing.id

    async def send_event(self, outgoing: OutgoingEvent) -> None:
        """Publish an encoded event, as ``publish`` does."""
        await self.send(
            EVENTS_EXCHANGE,
            outgoing.routing_key,
            body=outgoing.body,
            headers=outgoing.headers,
            message_id=outgoing.id,
        )

    async def send(
        self,
        exchange: str,
        routing_key: str,
        *,
        body: bytes,
        headers: Mapping[str, Any],
        message_id: str | None,
        content_type: str | None = CONTENT_TYPE,
    ) -> None:
        """Publish bytes to a named exchange and wait for the confirm.

        Raises:
            BrokerUnavailable, Refused, Unroutable: as ``publish``.
            Unpublishable: it is larger than the broker takes.
        """
        message_id = message_id or new_id()
        with sending_event(exchange, routing_key, headers=headers, body=body, message_id=message_id) as sent:
            properties = event_properties(
                sent, message_id=message_id, content_type=content_type, app_id=self.source
            )
            await self._send(exchange, routing_key, body, properties, message_id, counted_as=routing_key)

    async def send_with(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        properties: Basic.Properties,
        *,
        counted_as: str | None = None,
    ) -> None:
        """Publish bytes with AMQP properties of one's own, as ``send`` does.

        Args:
            counted_as: in the metrics, for a routing key that is another one each time.
        """
        message_id = properties.message_id = properties.message_id or new_id()
        await self._send(
            exchange,
            routing_key,
            body,
            properties.marshal(),
            message_id,
            counted_as=counted_as or routing_key,
        )

    async def _send(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        properties: bytes,
        message_id: str,
        *,
        counted_as: str,
    ) -> None:
        if len(body) > MESSAGE_BYTES:
            # The broker would close the channel, and fail everything else in flight on it.
            raise Unpublishable(f"{counted_as}: {len(body)} bytes; the broker takes {MESSAGE_BYTES} at most")
        try:
            with publishing(exchange, counted_as):
                async with asyncio.timeout(self.timeout_s):
                    pipeline = self._pipeline
                    if pipeline is None or pipeline.is_closed or not self.connected:
                        pipeline = await self._open_pipeline()
                    await pipeline.publish(
                        exchange, routing_key, body, properties=properties, message_id=message_id
                    )
        except BrokerUnavailable as error:
            if isinstance(error.__cause__, TimeoutError):
                self._abandon_if_stalled()
            raise
        self._heard_at = time.monotonic()

    def _abandon_if_stalled(self) -> None:
        """Drop a connection on which nothing has been confirmed for too long; the library then reconnects."""
        transport = self._connection.transport if self._connection is not None else None
        silent_s = time.monotonic() - self._heard_at
        if transport is None or not self.connected or self.blocked or silent_s < self.stalled_s:
            return
        self._heard_at = time.monotonic()
        log.warning("the broker confirms nothing; connecting anew", silent_s=round(silent_s, 1))
        self._abandoning = asyncio.create_task(
            abandon(transport.connection, "nothing was confirmed"), name="publisher-abandon"
        )

    async def _open_pipeline(self) -> Pipeline:
        """Return the pipeline of the channel that there is by now: one that closes is opened again."""
        if not self.connected or self._channel is None:
            raise ConnectionError("not connected")
        channel = await self._channel.get_underlay_channel()
        # Others may have waited for the same channel.
        if self._pipeline is None or self._pipeline.channel is not channel:
            self._pipeline = Pipeline(channel)
        return self._pipeline


def _is_ready(connection: AbstractConnection) -> bool:
    """Whether what is written to a connection leaves at once.

    The library shows this nowhere, but lets one wait for it: a wait that does not end at its first step would
    be a long one.
    """
    waiting = connection.ready()
    try:
        waiting.send(None)
    except StopIteration:
        return True
    waiting.close()
    return False
