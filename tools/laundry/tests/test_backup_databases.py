"""A database of each kind is dumped while its outbox is held, and restored with the rights that it had."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from laundry.backup import databases
from laundry_catalogue import audited, database_owners
from laundry_servers.addresses import DatabaseAddress
from laundry_servers.errors import LaundryError
from laundry_servers.postgres import drop_database, ensure_database
from laundry_service.migrate import upgrade
from laundry_service.storage import revision
from laundry_testing.messaging import eventually

pytestmark = [pytest.mark.servers, pytest.mark.timeout(180)]

OWNER, SERVICE = ("laundry_backup_owner", "owner-of-all"), ("laundry_backup", "service-of-all")


@dataclass(frozen=True)
class Kept:
    """A service's database, and its two addresses."""

    service: str
    owner: str
    url: str


@pytest_asyncio.fixture(params=["monitoring", "identity", "search"])
async def kept(request: pytest.FixtureRequest, postgres: DatabaseAddress) -> AsyncIterator[Kept]:
    """One whose tables another login owns, one of Django, and one that owns its own."""
    name, service = f"test_{secrets.token_hex(6)}", request.param
    own = service not in audited()
    await ensure_database(postgres, name, *SERVICE, owner=None if own else OWNER)
    url = postgres.url(name, *SERVICE)
    owner = url if own else postgres.url(name, *OWNER)
    made_by = owner.replace("postgresql://", "postgresql+asyncpg://", 1)
    await upgrade(database_owners()[service], made_by, served_by=None if own else SERVICE[0])
    yield Kept(service, owner, url)
    await drop_database(postgres, name)


async def ask(url: str, query: str) -> object:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


ROW = (
    "INSERT INTO outbox (event_id, routing_key, headers, body) VALUES ('{id}', 'x', '{{}}', 'x')"
    " RETURNING event_id"
)
ALONE = (
    "SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = current_database()"
    " AND usename IS NOT NULL AND pid <> pg_backend_pid()"
)


async def test_a_database_comes_back_as_it_was_when_it_was_held(
    kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "one.dump"
    await ask(kept.url, ROW.format(id="before"))
    async with databases.held({kept.service: kept.owner}) as held:
        [snapshot] = (await held.snapshots()).values()
        # Accepted after the moment: not in the backup, however late the dump is made.
        await ask(kept.url, ROW.format(id="after"))
        databases.dump(snapshot, file)
    connection = await asyncpg.connect(kept.url, timeout=10)
    # Those that were closed are gone a moment later.
    await eventually(lambda: ask(kept.owner, ALONE), what="one connection that is left")
    with pytest.raises(LaundryError, match="1 connections use the database"):
        await databases.refuse_those_in_use({kept.service: kept.owner})
    await connection.close()
    await databases.restore(kept.owner, kept.service, file)
    assert await ask(kept.url, "SELECT string_agg(event_id, ',') FROM outbox") == "before"
    assert await databases.revision_of(kept.owner, kept.service) == snapshot.revision
    # Where the service's code is not installed, as in the image of backups, it is told the same.
    monkeypatch.setattr(revision, "known", lambda _: None)
    assert await databases.revision_of(kept.owner, kept.service) == snapshot.revision
    monkeypatch.undo()
    # The rights are as before: rows, and an audit that only grows.
    assert await ask(kept.url, ROW.format(id="again")) == "again"
    if kept.service in audited():
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await ask(kept.url, "DELETE FROM audit")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await ask(kept.url, "DROP TABLE outbox")
    # A later migration goes on from there.
    made_by = kept.owner.replace("postgresql://", "postgresql+asyncpg://", 1)
    await upgrade(database_owners()[kept.service], made_by)


async def test_two_backups_at_once_are_told_from_each_other(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(databases.SESSION, "lock_timeout", "200ms")
    async with databases.held({kept.service: kept.owner}):
        with pytest.raises(LaundryError, match="does another backup run"):
            async with databases.held({kept.service: kept.owner}):
                pytest.fail("it was held twice")
