"""A migration holds nobody up: neither while an index is built, nor while it waits for a table."""

import asyncio
import socket
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from laundry_events.dsn import plain_dsn
from laundry_service import migrate
from laundry_service.migrate import upgrade

pytestmark = pytest.mark.servers

ENV = "from laundry_service.migrate import run_env\n\nrun_env()\n"
START = """
from alembic import op

revision = "0001"
down_revision = None


def upgrade():
    op.execute("CREATE TABLE towels (id int, colour text)")
"""
INDEX = """
from alembic import op
from laundry_service.storage.online import create_index

revision = "0002"
down_revision = "0001"


def upgrade():
    create_index(op, "towels_colour", "towels", "colour", where="id > 0")
"""
COLUMN = """
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade():
    op.execute("ALTER TABLE towels ADD COLUMN size int")
"""


@pytest.fixture
def towels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package with migrations."""
    name = f"towels_{tmp_path.name.replace('-', '_')}"
    for file, text in {
        "__init__.py": "",
        "migrations/env.py": ENV,
        "migrations/versions/0001_start.py": START,
        "migrations/versions/0002_index.py": INDEX,
        "migrations/versions/0003_column.py": COLUMN,
    }.items():
        path = tmp_path / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return name


@pytest.fixture
async def connection(database_url: str) -> Any:
    made = await asyncpg.connect(plain_dsn(database_url), timeout=60, command_timeout=60)
    yield made
    await made.close()


async def valid(connection: Any) -> bool | None:
    found: bool | None = await connection.fetchval(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('towels_colour')"
    )
    return found


async def test_rows_are_written_while_an_index_is_built_and_replicas_wait_for_one_another(
    towels: str, database_url: str, connection: Any
) -> None:
    await upgrade(towels, database_url, "0001")
    other = await asyncpg.connect(plain_dsn(database_url), timeout=60, command_timeout=60)
    # A transaction of before, which a build that locks nothing waits for and one that locks would not.
    began = other.transaction()
    await began.start()
    await other.execute("INSERT INTO towels VALUES (1, 'white')")
    replicas = [asyncio.create_task(upgrade(towels, database_url)) for _ in range(3)]
    async with asyncio.timeout(60):
        while await valid(connection) is None:
            await asyncio.sleep(0.05)
        await connection.execute("INSERT INTO towels VALUES (2, 'blue')", timeout=60)
        assert await valid(connection) is False
        await began.commit()
        await asyncio.gather(*replicas)
    await other.close()
    assert await valid(connection)
    assert await connection.fetchval("SELECT version_num FROM alembic_version") == "0003"


async def test_an_index_that_a_build_left_behind_is_built_again(
    towels: str, database_url: str, connection: Any
) -> None:
    await upgrade(towels, database_url, "0001")
    await connection.execute("INSERT INTO towels VALUES (1, 'white'), (2, 'white')")
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute("CREATE UNIQUE INDEX CONCURRENTLY towels_colour ON towels (colour)")
    assert await valid(connection) is False
    await upgrade(towels, database_url)
    assert await valid(connection)


async def test_nobody_queues_behind_a_migration_that_waits_for_a_table(
    towels: str, database_url: str, connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "LOCK_TIMEOUT", "200ms")
    await upgrade(towels, database_url, "0002")
    reading = connection.transaction()
    await reading.start()
    await connection.execute("SELECT FROM towels")
    other = await asyncpg.connect(plain_dsn(database_url), timeout=60, command_timeout=60)
    migrating = asyncio.create_task(upgrade(towels, database_url))
    async with asyncio.timeout(60):
        for _ in range(20):
            # Behind a waiting ALTER TABLE even a SELECT waits, for as long as the first transaction lasts.
            await other.execute("SELECT FROM towels", timeout=60)
            await asyncio.sleep(0.05)
        assert not migrating.done()
        await reading.commit()
        await migrating
    await other.close()
    assert await connection.fetchval("SELECT version_num FROM alembic_version") == "0003"


async def test_the_lock_of_a_replica_ends_soon_after_its_host_vanished(
    towels: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[AsyncEngine] = []

    def noted(*arguments: Any, **options: Any) -> AsyncEngine:
        made.append(create_async_engine(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(migrate, "create_async_engine", noted)
    await upgrade(towels, database_url)
    async with made[0].connect() as again:
        driver: Any = (await again.get_raw_connection()).driver_connection
        idle, interval, count = [
            int(await driver.fetchval(f"SHOW tcp_keepalives_{name}"))
            for name in ("idle", "interval", "count")
        ]
        found = driver._transport.get_extra_info("socket")
        assert found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    await made[0].dispose()
    assert 0 < idle + interval * count <= 30
