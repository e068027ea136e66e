"""Where the ``laundry dlq`` commands keep the audit: the stack's table, else a file."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from laundry.paths import stack_paths
from laundry.stack import state
from laundry_dead_letters.audit import FileAudit
from laundry_dead_letters.table import TableAudit
from laundry_servers.errors import LaundryError

VARIABLE = "LAUNDRY_AUDIT_DATABASE_URL"
TIMEOUT_SECONDS = 10.0


def audit_path() -> Path:
    """Return the file for a broker that has no operations service beside it."""
    return stack_paths().var / "audit" / "dead-letters.jsonl"


def database_url(amqp_url: str | None) -> str | None:
    """Return the operations service's database: the one that is named, else the running stack's.

    A broker that an option names is not the stack's, and its acts are none of the stack's audit.
    """
    named = os.environ.get(VARIABLE)
    if named or amqp_url:
        return named or None
    urls: dict[str, str] = state.running_stack(stack_paths())["postgres_urls"]
    return urls.get("operations")


@asynccontextmanager
async def opened_audit(amqp_url: str | None) -> AsyncIterator[FileAudit | TableAudit]:
    """Open the audit. Raises LaundryError when its database does not answer."""
    url = database_url(amqp_url)
    if url is None:
        yield FileAudit(audit_path())
        return
    try:
        pool: asyncpg.Pool[Any] = await asyncpg.create_pool(
            url.replace("postgresql+asyncpg://", "postgresql://", 1),
            min_size=1,
            max_size=1,
            timeout=TIMEOUT_SECONDS,
            command_timeout=TIMEOUT_SECONDS,
        )
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError) as error:
        raise LaundryError(
            f"The audit's database does not answer ({type(error).__name__} {error}); without a record "
            "nothing is changed. See: laundry status"
        ) from error
    async with pool:
        yield TableAudit(pool)


async def newest_records(amqp_url: str | None, limit: int) -> list[dict[str, Any]]:
    """Return the newest records, oldest of them first."""
    async with opened_audit(amqp_url) as audit:
        if isinstance(audit, FileAudit):
            return list(audit.records())[-limit:]
        return [record for _, record in await audit.newest(limit=limit, letters_only=True)][::-1]
