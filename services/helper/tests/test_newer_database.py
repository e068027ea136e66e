"""A database that a newer release has migrated: refused with a sentence, unless that release allows it."""

import asyncio
import subprocess
import sys

import pytest
import sqlalchemy as sa

from laundry_servers.ports import free_port
from laundry_service.migrate import upgrade
from laundry_service.storage.database import Database
from laundry_service.storage.revision import NewerDatabase, known, refuse_newer
from laundry_testing.identity import FileIdentity
from laundry_testing.processes import environment_of

pytestmark = pytest.mark.servers


async def execute(database_url: str, statement: str) -> None:
    database = Database(database_url, pool=1)
    try:
        async with database.transaction() as session:
            await session.execute(sa.text(statement))
    finally:
        await database.close()


@pytest.fixture
async def newer(database_url: str) -> str:
    """The address of a database that a later release has migrated further."""
    await upgrade("helper", database_url)
    await execute(database_url, "UPDATE alembic_version SET version_num = '9999'")
    return database_url


def run(module: str, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=environment_of(settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_older_code_does_not_start_and_does_not_migrate(newer: str, identity: FileIdentity) -> None:
    await execute(newer, "COMMENT ON TABLE alembic_version IS '9999'")
    migration = await asyncio.to_thread(
        run, "laundry_service.migrate", "helper", database_url=newer.replace("+asyncpg", "")
    )
    assert migration.returncode == 1
    assert "Not migrated: the database of helper is at revision 9999" in migration.stderr
    assert "Traceback" not in migration.stderr
    service = await asyncio.to_thread(
        run,
        "helper",
        database_url=newer,
        amqp_url="amqp://nobody:nothing@127.0.0.1:1/",
        s3_bucket="none",
        s3_access_key="none",
        s3_secret_key="none",
        port=str(free_port()),
        **identity.settings,
    )
    assert service.returncode == 3
    assert "it is older than the database" in service.stdout + service.stderr


async def test_older_code_runs_where_the_newer_release_says_that_it_may(newer: str) -> None:
    code = known("helper")
    assert code is not None
    await execute(newer, f"COMMENT ON TABLE alembic_version IS '{code.revisions[-1]}'")
    assert await refuse_newer("helper", newer)
    await upgrade("helper", newer)  # Nothing to do, and no error.


async def test_the_newest_code_notes_from_which_revision_on_its_tables_can_be_used(database_url: str) -> None:
    await upgrade("helper", database_url)
    await execute(database_url, "UPDATE alembic_version SET version_num = 'not-ours'")
    code = known("helper")
    assert code is not None
    # The note is what a rollback goes by: it names a revision that this code has.
    assert await refuse_newer("helper", database_url)
    await execute(database_url, "COMMENT ON TABLE alembic_version IS NULL")
    with pytest.raises(NewerDatabase, match="not-ours"):
        await refuse_newer("helper", database_url)


async def test_a_database_that_is_away_is_no_reason_to_refuse() -> None:
    assert not await refuse_newer("helper", "postgresql://kim:secret@127.0.0.1:1/helper")
