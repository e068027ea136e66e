"""The databases of a stack of its own, filled inside PostgreSQL."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import asyncpg

from laundry_lab.bench.scratch import administrator
from laundry_lab.bench.stage import Stage

FILL_TIMEOUT_S = 3600.0
TRUNCATED = re.compile(r"\s*TRUNCATE ([\w, ]+?)(?: CASCADE)?")


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
    triggers, too: what is filled fits by itself. Indexes are made afterwards, as a restore does.

    Args:
        values: what ``statements`` name in braces.
    """
    async with administered(stage, service) as connection:
        await connection.execute(
            "SET session_replication_role = replica; SET synchronous_commit = off;"
            " SET work_mem = '256MB'; SET maintenance_work_mem = '1GB'"
        )
        # Each by itself: sweeps would else wait for the lock of the TRUNCATE as long as all of it takes.
        empty, *filling = filter(str.strip, statements.format(**values).split(";\n"))
        await connection.execute(empty)
        truncated = TRUNCATED.fullmatch(empty)
        assert truncated is not None, empty
        async with _without_indexes(connection, truncated[1].split(", ")):
            for statement in filling:
                await connection.execute(statement)
        # Notes which rows all see, as a database that has run for a while knows.
        await connection.execute("RESET session_replication_role")
        await connection.execute("VACUUM ANALYZE")


@asynccontextmanager
async def _without_indexes(
    connection: "asyncpg.Connection[Any]", tables: Sequence[str]
) -> AsyncIterator[None]:
    """Drop the indexes of tables that keep nothing unique, and make them again."""
    dropped = await connection.fetch(
        "SELECT indexrelid::regclass::text AS name, pg_get_indexdef(indexrelid) AS made_by FROM pg_index"
        " WHERE indrelid = ANY($1::text[]::regclass[]) AND NOT indisunique",
        list(tables),
    )
    for index in dropped:
        await connection.execute(f"DROP INDEX {index['name']}")
    try:
        yield
    finally:
        for index in dropped:
            await connection.execute(index["made_by"])


async def sizes(stage: Stage, service: str) -> Mapping[str, int]:
    """Return the bytes of each table with its indexes, the largest first."""
    async with administered(stage, service) as connection:
        rows = await connection.fetch(
            "SELECT relname, pg_total_relation_size(oid) AS bytes FROM pg_class"
            " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 2 DESC"
        )
    return {row["relname"]: row["bytes"] for row in rows}
