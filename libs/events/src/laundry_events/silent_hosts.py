"""Ends connections to PostgreSQL whose other end vanishes without a word: no power, a way there that broke.

By the systems' own limits a server keeps such a connection, and each lock of it, for two hours, and a client
waits a quarter of an hour for an acknowledgement.
"""

import contextlib
import socket
from collections.abc import Mapping
from typing import Any

import asyncpg

from laundry_events.libraries import require

require("asyncpg", asyncpg.Connection, "_transport")

SERVER_SETTINGS = {
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    # A system that waits for an acknowledgement asks nothing else: so long it waits, in milliseconds.
    "tcp_user_timeout": "25000",
}
"""What a session tells its server, which then ends it, with its locks, 25 s after its host vanished."""

SOCKET_OPTIONS = (
    ("SOL_SOCKET", "SO_KEEPALIVE", 1),
    ("IPPROTO_TCP", "TCP_KEEPIDLE", 10),
    ("IPPROTO_TCP", "TCP_KEEPINTVL", 5),
    ("IPPROTO_TCP", "TCP_KEEPCNT", 3),
    ("IPPROTO_TCP", "TCP_USER_TIMEOUT", 15_000),
)
"""The same at our end: after 15 to 25 s, whether it waits or not. Not every system has each of them."""


async def connect(
    dsn: str, *, command_timeout: float, settings: Mapping[str, str] | None = None
) -> "asyncpg.Connection[Any]":
    """Open a connection that outlives neither host. Raises OSError, TimeoutError, asyncpg.PostgresError."""
    connection = await asyncpg.connect(
        dsn,
        timeout=5,
        command_timeout=command_timeout,
        server_settings={**SERVER_SETTINGS, **(settings or {})},
    )
    notice_silence(connection)
    return connection


def notice_silence(connection: "asyncpg.Connection[Any]") -> None:
    """Let a connection fail soon after its server vanished, even if nobody uses it: all of a pool at once."""
    found = connection._transport.get_extra_info("socket")  # type: ignore[attr-defined]
    if found is None or found.family not in (socket.AF_INET, socket.AF_INET6):
        return
    for level, name, value in SOCKET_OPTIONS:
        # A system may lack an option or refuse it; a connection that is lost already fails whoever uses it.
        with contextlib.suppress(AttributeError, OSError, ValueError):
            found.setsockopt(getattr(socket, level), getattr(socket, name), value)
