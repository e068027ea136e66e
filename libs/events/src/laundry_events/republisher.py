"""Publishes the copies of failed messages, on channels of their own.

The broker rejects a publish by closing the channel, which fails everything else in flight on
it. A message that has failed once is the likeliest to be rejected. So copies have their own connection, not
the one that the outbox is relayed on, and each has a channel to itself while in flight: a rejected copy
takes no other message along.
"""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aio_pika
import aiormq
import structlog
from aio_pika.abc import AbstractConnection
from aiormq.abc import AbstractChannel
from pamqp.commands import Basic
from yarl import URL

from laundry_events import wire  # noqa: F401 - odd frames are decoded
from laundry_events.confirms import publishing
from laundry_events.connection import abandon, transport_of
from laundry_events.errors import BrokerUnavailable, Unpublishable
from laundry_events.frames import PERSISTENT
from laundry_events.message_spans import sending_copy
from laundry_events.publisher import Publisher

CHANNELS = 8
TIMEOUT_S = 5.0

log = structlog.get_logger(__name__)


class Republisher:
    """A connection opened for the first copy, and reopened if it is lost."""

    def __init__(self, publisher: Publisher) -> None:
        """Use the broker address and login of ``publisher``."""
        self.source = publisher.source
        self._url = str(URL(publisher.url).update_query(name=f"{publisher.source}/copies"))
        self._connection: AbstractConnection | None = None
        self._connecting = asyncio.Lock()
        self._free: list[AbstractChannel] = []
        self._room = asyncio.Semaphore(CHANNELS)

    async def send(
        self,
        exchange: str,
        routing_key: str,
        *,
        body: bytes,
        headers: Mapping[str, Any],
        message_id: str | None,
        content_type: str | None,
    ) -> None:
        """Publish one copy and wait for the confirm.

        Raises:
            Unpublishable: the broker or the library refuses this very message.
            BrokerUnavailable, Refused, Unroutable: as ``Publisher.publish``.
        """
        async with self._room:
            try:
                with (
                    sending_copy(
                        exchange, routing_key, headers=headers, body=body, message_id=message_id
                    ) as sent,
                    publishing(exchange, routing_key),
                ):
                    properties = Basic.Properties(
                        content_type=content_type,
                        delivery_mode=PERSISTENT,
                        headers=dict(sent),
                        message_id=message_id,
                        app_id=self.source,
                    )
                    async with asyncio.timeout(TIMEOUT_S), self._channel() as channel:
                        await channel.basic_publish(
                            body,
                            exchange=exchange,
                            routing_key=routing_key,
                            properties=properties,
                            mandatory=True,
                        )
            except BrokerUnavailable as error:
                if _refused(error.__cause__):
                    raise Unpublishable(
                        f"{routing_key!r} takes no such message: {error.__cause__}"
                    ) from error
                raise
            except (TypeError, ValueError, struct.error) as error:
                raise Unpublishable(f"it cannot be encoded: {type(error).__name__} {error}") from error

    async def stop(self) -> None:
        """Close the connection, if there is one."""
        self._free.clear()
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(TIMEOUT_S):
                    await connection.close()

    @contextlib.asynccontextmanager
    async def _channel(self) -> AsyncIterator[AbstractChannel]:
        """Lend a channel; one that saw an error is not reused."""
        channel = await self._take()
        try:
            yield channel
        except (aiormq.exceptions.DeliveryError, aiormq.exceptions.PublishError):
            # An ordinary answer: the channel is still usable.
            self._free.append(channel)
            raise
        except asyncio.CancelledError:
            # Most likely it was not confirmed in time, as at a node that is cut off.
            await abandon(channel.connection, "a copy was not confirmed")
            raise
        except BaseException:
            await self._drop(channel)
            raise
        self._free.append(channel)

    async def _take(self) -> AbstractChannel:
        while self._free:
            channel = self._free.pop()
            if not channel.is_closed and not channel.connection.is_closed:
                return channel
        async with self._connecting:
            if self._connection is None or transport_of(self._connection) is None:
                self._free.clear()
                self._connection = await aio_pika.connect(self._url, timeout=TIMEOUT_S)
            transport = transport_of(self._connection)
            if transport is None:
                raise BrokerUnavailable("the connection went before a copy was sent on it")
            try:
                return await transport.channel(publisher_confirms=True, on_return_raises=True)
            except BaseException:
                await abandon(transport, "it opens no channel")
                raise

    async def _drop(self, channel: AbstractChannel) -> None:
        if not channel.is_closed:
            with contextlib.suppress(Exception):
                async with asyncio.timeout(1):
                    await channel.close()


def _refused(error: BaseException | None) -> bool:
    """Whether the broker closed a channel or connection because of what was sent on it."""
    return isinstance(
        error,
        aiormq.exceptions.ChannelPreconditionFailed
        | aiormq.exceptions.ConnectionFrameError
        | aiormq.exceptions.ConnectionSyntaxError
        | aiormq.exceptions.ConnectionUnexpectedFrame
        | aiormq.exceptions.ConnectionInternalError,
    )
