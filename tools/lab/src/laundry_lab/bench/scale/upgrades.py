"""The release's upgrade of a filled database, and how long anybody waits for a lock meanwhile."""

import asyncio
import time

from alembic import command
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from laundry_lab.bench.scale.databases import address_of, administered
from laundry_lab.bench.scale.growth import Reading
from laundry_lab.bench.stage import Stage
from laundry_service.migrate import alembic_config, upgrade
from laundry_service.storage.revision import known

LOOK_S = 0.02
COLUMNS = {
    "helper": ("tasks", "note"),
    "monitoring": ("fault", "metric"),
    "notification": ("deliveries", "alert"),
}
"""Of a table that the newest revision changes, one that may be written as it is."""


async def upgraded(stage: Stage, service: str, rows: int) -> list[Reading]:
    """Take the newest revision back, write all the while, and apply it again."""
    code = known(service)
    assert code is not None
    before, url = code.revisions[-2], address_of(stage, service)
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        await connection.run_sync(_take_back, service, before)
    await engine.dispose()
    waited: list[float] = []
    writing = asyncio.create_task(_write(stage, service, waited))
    began = time.perf_counter()
    try:
        await upgrade(service, url)
    finally:
        took_ms = 1000 * (time.perf_counter() - began)
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
    return [
        Reading(f"{service}: upgrade from {before}", "linear", rows, took_ms),
        Reading(
            f"{service}: longest that a write waited meanwhile",
            "page",
            rows,
            1000 * max(waited, default=0.0),
            note=f"{len(waited)} writes",
        ),
    ]


def _take_back(connection: Connection, package: str, revision: str) -> None:
    config = alembic_config(package)
    config.attributes["connection"] = connection
    command.downgrade(config, revision)


async def _write(stage: Stage, service: str, waited: list[float]) -> None:
    """Change one row after another, each in a transaction of its own."""
    table, column = COLUMNS[service]
    row = f"SELECT ctid FROM {table} LIMIT 1"  # noqa: S608
    statement = f"UPDATE {table} SET {column} = {column} WHERE ctid = ({row})"  # noqa: S608
    async with administered(stage, service) as connection:
        await connection.execute("SET session_replication_role = replica")
        while True:
            began = time.perf_counter()
            await connection.execute(statement)
            waited.append(time.perf_counter() - began)
            await asyncio.sleep(LOOK_S)
