"""How our clients connect: quick to notice a dead peer, patient while the broker is unavailable."""

import asyncio
from typing import Any

import aiormq.connection
import structlog
from aio_pika import RobustChannel, RobustConnection
from aio_pika.abc import AbstractConnection as PikaConnection
from aio_pika.exceptions import ChannelInvalidStateError
from aiormq.abc import AbstractConnection
from yarl import URL

from laundry_events import wire  # noqa: F401 - no message may end a connection
from laundry_events.libraries import require
from laundry_events.refused_certificates import explained

HEARTBEAT_S = 10
RECONNECT_S = 1
WAITS_OF_A_CLOSE = 3
# The library waits for three heartbeats, each a second longer than agreed, and looks every half heartbeat: up
# to 39 s. A half-open connection is to be replaced within 35 s.
require("aiormq", aiormq.connection.Connection, "HEARTBEAT_GRACE_MULTIPLIER")
aiormq.connection.Connection.HEARTBEAT_GRACE_MULTIPLIER = 2.4  # type: ignore[assignment]
require("aio_pika", RobustConnection, "_on_connection_close", "_on_connected", "CHANNEL_CLASS")
require("aio_pika", RobustChannel, "_open")

log = structlog.get_logger(__name__)


def connection_url(url: str, *, name: str) -> str:
    """Add our connection settings to an AMQP URL.

    A heartbeat of 10 s lets the client drop a half-open connection after some 26 to 32 s;
    ``fail_fast=0`` keeps trying when the broker is not there yet.

    Args:
        name: the connection's name in the management UI, e.g. ``helper/publish``.
    """
    settings = {
        "heartbeat": str(HEARTBEAT_S),
        "reconnect_interval": str(RECONNECT_S),
        "fail_fast": "0",
        "name": name,
    }
    return str(URL(url).update_query(settings))


class RestoredChannel(RobustChannel):
    """A robust channel that does not wait for a connection which ended while the broker was blocking it.

    The library waits there for an end of the block that nobody tells any more, and holds the lock that the
    next connection needs to restore the channel: nothing was published after a restart during an alarm.
    """

    async def _open(self) -> None:
        transport = self._connection.transport
        if transport is not None:
            ready = asyncio.ensure_future(transport.ready())
            try:
                await asyncio.wait((ready, transport.connection.closing), return_when=asyncio.FIRST_COMPLETED)
            finally:
                ready.cancel()
            if transport.connection.is_closed:
                raise ChannelInvalidStateError("the connection ended before the channel was open")
        await super()._open()


class CancellableConnection(RobustConnection):
    """A robust connection whose first attempt can be cancelled, and that says which certificate is refused.

    The library connects in a task of its own that outlives a cancelled ``connect`` and answers its own
    cancellation by trying again: a process that stops while the broker is away would never end.
    """

    CHANNEL_CLASS = RestoredChannel
    _told: str | None = None

    async def connect(self, timeout: Any = None) -> None:  # noqa: ASYNC109 - the library's own parameter
        """Connect; cancelling the caller also ends the attempt."""
        try:
            await super().connect(timeout)
        except BaseException:
            await self.close()
            raise

    async def _on_connection_close(self, closing: asyncio.Future[Any]) -> None:
        """Log a refused certificate once, not at every attempt; also called when none came about."""
        error = None if closing.cancelled() else closing.exception()
        why = explained(error) if error is not None else None
        if why is not None and why != self._told:
            log.error("no connection to the broker", reason=why, broker=f"{self.url.host}:{self.url.port}")
        self._told = why
        await super()._on_connection_close(closing)


def transport_of(connection: PikaConnection) -> AbstractConnection | None:
    """Return what a connection runs over, if that has not ended.

    A plain connection's own ``is_closed`` and ``closed`` tell only of our ``close``, never of a loss.
    """
    transport = connection.transport
    return None if transport is None or transport.connection.is_closed else transport.connection


async def abandon(connection: AbstractConnection, why: str) -> None:
    """Close a connection that no longer responds, within about a second; the robust connection reconnects."""
    closing = asyncio.create_task(connection.close(ConnectionError(why)))
    closing.add_done_callback(lambda done: done.cancelled() or done.exception())
    await asyncio.wait((closing,), timeout=RECONNECT_S)
    # A node that reads nothing answers no Close, nor takes what was sent before: neither is waited for.
    writer: asyncio.Task[Any] | None = getattr(connection, "_writer_task", None)
    for _ in range(WAITS_OF_A_CLOSE):
        if writer is not None and not closing.done():
            writer.cancel()
            await asyncio.sleep(0)
