"""A service's own PostgreSQL."""

from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

import asyncpg
from sqlalchemy import ExceptionContext, event, text
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import (
    AsyncConnection,
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from laundry_events.silent_hosts import SERVER_SETTINGS, notice_silence
from laundry_service.storage.pooler import refuse_transaction_pooling

FROZEN_MS = 120_000
"""After so long in a transaction without a statement a process is taken for frozen, and its locks are freed:
twice what a photo may take that is deleted in the store within one.
"""
READ_ONLY = "25006"


class Database:
    """The engine and its sessions: ``async with database.transaction() as session``."""

    def __init__(self, url: str, *, pool: int = 10, lock_timeout_s: float | None = None) -> None:
        """Take a ``postgresql+asyncpg://`` URL. Nothing connects yet.

        Args:
            lock_timeout_s: a statement that waits longer than this for a row that somebody holds fails: those
                who want that row do not keep the pool from all others. ``None``: it waits.
        """
        self.url = url
        session = {**SERVER_SETTINGS, "idle_in_transaction_session_timeout": str(FROZEN_MS)}
        if lock_timeout_s is not None:
            session["lock_timeout"] = f"{lock_timeout_s * 1000:.0f}"
        # No overflow: connections beyond the pool would be opened and closed constantly under load,
        # and opening one costs more than waiting for one.
        self.engine: AsyncEngine = create_async_engine(
            url,
            pool_size=pool,
            max_overflow=0,
            pool_timeout=10,
            # Errors show the statement but not its parameters, which may hold tokens or names.
            hide_parameters=True,
            connect_args={"timeout": 5, "command_timeout": 30, "server_settings": session},
        )
        notice_lost_servers(self.engine)
        event.listen(self.engine.sync_engine, "checkout", _replace_closed)
        event.listen(self.engine.sync_engine, "handle_error", _leave_read_only)
        self._whole_sessions = False
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        self._autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")

    def transaction(self) -> AbstractAsyncContextManager[AsyncSession]:
        """Open a session that commits at the end of the block and rolls back on an error."""
        return self._sessions.begin()

    def session(self) -> AsyncSession:
        """Open a session for reading."""
        return self._sessions()

    def single(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """Open an autocommit connection: one round trip per statement instead of three."""
        return self._autocommit.connect()

    async def ping(self) -> bool:
        """Run a trivial query, as a health check.

        Raises:
            TransactionPooling: the address leads to a pooler in a mode that loses what a session holds.
        """
        if not self._whole_sessions:
            # Whatever else is wrong, the query below says in the words that callers know.
            with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await refuse_transaction_pooling(self.url)
                self._whole_sessions = True
        async with self.single() as connection:
            await connection.execute(text("SELECT 1"))
        return True

    async def close(self) -> None:
        """Close every connection of the pool."""
        await self.engine.dispose()


def notice_lost_servers(engine: AsyncEngine) -> None:
    """Let an engine's connections fail soon after their server vanished, also those that nobody uses."""

    def opened(connection: Any, _record: Any) -> None:
        notice_silence(connection.driver_connection)

    event.listen(engine.sync_engine, "connect", opened)


def _leave_read_only(context: ExceptionContext) -> None:
    # It led to a standby, as all others may that are as old: this drops them, and new ones find the primary.
    if getattr(context.original_exception, "sqlstate", None) == READ_ONLY:
        context.is_disconnect = True


def _replace_closed(connection: Any, _record: Any, _proxy: Any) -> None:
    # The driver knows at once when the server hangs up, so a restarted database costs no failed request;
    # a ping before each use would cost three more round trips.
    if connection.driver_connection.is_closed():
        raise DisconnectionError
