"""Tells a pooler between a service and its database that gives each transaction another connection.

Changes are heard by LISTEN, and a relay and a training run hold locks of their session: behind PgBouncer in
transaction mode both are lost without an error.
"""

from contextlib import AsyncExitStack

import asyncpg

from laundry_events.dsn import plain_dsn
from laundry_service.http.health import NotReady

TRIES = 3
CONNECTIONS = 2
ADVICE = (
    "the database is behind a pooler that gives each transaction another connection (PgBouncer's"
    " pool_mode=transaction or statement): LISTEN and locks of a session would be lost. Connect to the"
    " database itself, or set pool_mode=session"
)


class TransactionPooling(NotReady):
    """The database cannot be used through this address; the text says what to do."""

    def __init__(self) -> None:
        super().__init__(ADVICE)


async def refuse_transaction_pooling(database_url: str, *, timeout_s: float = 5.0) -> None:
    """Look at which of the database's processes answer connections that are open at the same time.

    Args:
        database_url: as SQLAlchemy or asyncpg take it.
        timeout_s: of each step.

    Raises:
        TransactionPooling: one process answers several connections, or one connection meets several.
        OSError, TimeoutError, asyncpg.PostgresError: the database cannot be asked.
    """
    async with AsyncExitStack() as stack:
        connections = []
        for _ in range(CONNECTIONS):
            connection = await asyncpg.connect(
                plain_dsn(database_url), timeout=timeout_s, command_timeout=timeout_s, statement_cache_size=0
            )
            stack.push_async_callback(connection.close, timeout=timeout_s)
            connections.append(connection)
        met = [
            [await connection.fetchval("SELECT pg_backend_pid()") for connection in connections]
            for _ in range(TRIES)
        ]
    if shared(met):
        raise TransactionPooling


def shared(met: list[list[int]]) -> bool:
    """Whether connections share the database's processes.

    Args:
        met: for each round, the process that answered each connection.
    """
    by_connection = [set(pids) for pids in zip(*met, strict=True)]
    return any(len(pids) > 1 for pids in by_connection) or len(set().union(*by_connection)) < len(
        by_connection
    )
