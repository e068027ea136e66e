"""The databases of a stack of its own, filled inside PostgreSQL."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from laundry_lab.bench.scratch import administrator
from laundry_lab.bench.stage import Stage

FILL_TIMEOUT_S = 3600.0


@asynccontextmanager
async def administered(stage: Stage, service: str) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """Connect to a service's database as the server's administrator."""
    name = urlsplit(stage.document["postgres_urls"][service]).path.lstrip("/")
    connection = await asyncpg.connect(
        administrator(stage).url(name), timeout=10, command_timeout=FILL_TIMEOUT_S
    )
    try:
        yield connection
    finally:
        await connection.close()


def address_of(stage: Stage, service: str) -> str:
    """Return the address of a service's database as its owner, for migrations."""
    owners = stage.document["postgres_owner_urls"]
    url: str = owners.get(service) or stage.document["postgres_urls"][service]
    return url.replace("postgresql://", "postgresql+asyncpg://", 1)


async def fill(stage: Stage, service: str, statements: str, **values: int | str) -> None:
    """Run statements in a service's database without its triggers, then let the planner look at the rows.

    The triggers tell streams of each row; a million notices at once tell nobody anything. Foreign keys are
    triggers, too: what is filled fits by itself.

    Args:
        values: what ``statements`` name in braces.
    """
    async with administered(stage, service) as connection:
        await connection.execute("SET session_replication_role = replica; SET synchronous_commit = off")
        # Each by itself: sweeps would else wait for the lock of the TRUNCATE as long as all of it takes.
        for statement in filter(str.strip, statements.format(**values).split(";\n")):
            await connection.execute(statement)
        # Notes which rows all see, as a database that has run for a while knows.
        await connection.execute("RESET session_replication_role")
        await connection.execute("VACUUM ANALYZE")


async def sizes(stage: Stage, service: str) -> Mapping[str, int]:
    """Return the bytes of each table with its indexes, the largest first."""
    async with administered(stage, service) as connection:
        rows = await connection.fetch(
            "SELECT relname, pg_total_relation_size(oid) AS bytes FROM pg_class"
            " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 2 DESC"
        )
    return {row["relname"]: row["bytes"] for row in rows}
