"""How our clients connect: quick to notice a dead peer, patient while the broker is unavailable."""

import asyncio
import contextlib
from typing import Any

import aiormq.connection
import structlog
from aio_pika import RobustConnection
from aio_pika.abc import AbstractConnection as PikaConnection
from aiormq.abc import AbstractConnection
from yarl import URL

from laundry_events import wire  # noqa: F401 - no message may end a connection
from laundry_events.libraries import require
from laundry_events.refused_certificates import explained

HEARTBEAT_S = 10
RECONNECT_S = 1
# The library waits for three heartbeats, each a second longer than agreed, and looks every half heartbeat: up
# to 39 s. A half-open connection is to be replaced within 35 s.
require("aiormq", aiormq.connection.Connection, "HEARTBEAT_GRACE_MULTIPLIER")
aiormq.connection.Connection.HEARTBEAT_GRACE_MULTIPLIER = 2.4  # type: ignore[assignment]
require("aio_pika", RobustConnection, "_on_connection_close", "_on_connected")

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


class CancellableConnection(RobustConnection):
    """A robust connection whose first attempt can be cancelled, and that says which certificate is refused.

    The library connects in a task of its own that outlives a cancelled ``connect`` and answers its own
    cancellation by trying again: a process that stops while the broker is away would never end.
    """

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
    """Close a connection that no longer responds; the robust connection then reconnects."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(RECONNECT_S):
            await connection.close(ConnectionError(why))
