"""Runs a service's alembic migrations: ``python -m laundry_service.migrate helper``.

The migrations lie in the package (``helper/migrations/versions``), so that an image carries them. A lock in
the database lets several replicas start at once. A package with a module ``migrate`` does it in its own way,
by that module's ``upgrade(database_url)``.

Each migration is a transaction of its own. A statement that would wait longer than a second for a table gives
up, so that nobody queues behind it, and its migration begins again.

With ``LAUNDRY_DATABASE_OWNER_URL`` the tables are made by that login and are its own; the service's, which
``LAUNDRY_DATABASE_URL`` names, may then work with their rows only, and an audit it can only add to.
"""

import argparse
import asyncio
import importlib
import importlib.resources
import importlib.util
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from laundry_events.silent_hosts import SERVER_SETTINGS
from laundry_service import secret_files
from laundry_service.background.ending import end_at_sigterm
from laundry_service.storage import revision as revisions
from laundry_service.storage.address import asyncpg_url
from laundry_service.storage.database import notice_lost_servers
from laundry_service.storage.outages import is_outage
from laundry_service.storage.pooler import TransactionPooling, refuse_transaction_pooling

LOCK = 0x1A0D27
LOOK_AGAIN_S = 0.2
LOCK_TIMEOUT = "1s"
TRIES = 120
"""How often a migration begins again whose tables others hold, a second apart."""
MAY_COME = 75
"""Exit status (EX_TEMPFAIL) where the database or the login is not there yet: running it again may help."""
LOCK_NOT_AVAILABLE = "55P03"
NOT_YET = ("28000", "28P01", "3D000")
"""SQLSTATEs of a login or a database that somebody may still be making."""


def alembic_config(package: str) -> Config:
    """Make the alembic configuration of a service's package."""
    folder = importlib.resources.files(package) / "migrations"
    config = Config()
    config.set_main_option("script_location", str(Path(str(folder))))
    config.set_main_option("path_separator", "os")
    return config


ROWS = "SELECT, INSERT, UPDATE, DELETE"
NOT_GIVEN = {
    "alembic_version": "INSERT, UPDATE, DELETE",
    "django_migrations": "INSERT, UPDATE, DELETE",
    "audit": "UPDATE, DELETE, TRUNCATE",
    # Keys are made and destroyed by functions that leave a record.
    "audit_people": "INSERT, UPDATE, DELETE",
}


async def upgrade(
    package: str, database_url: str, revision: str = "head", *, served_by: str | None = None
) -> None:
    """Bring a database to a revision.

    Args:
        database_url: of the login that owns the tables, or will.
        served_by: the login of the running service, where it is another: it is given what it needs.

    Raises:
        NewerDatabase: a newer release migrated it, and does not say that this one may use it.
    """
    # The lock by which one replica migrates must end with a host that vanishes.
    engine = create_async_engine(
        database_url, connect_args={"timeout": 10, "server_settings": {**SERVER_SETTINGS}}
    )
    notice_lost_servers(engine)
    try:
        async with _alone(engine), engine.connect() as connection:
            driver = (await connection.get_raw_connection()).driver_connection
            assert driver is not None
            if await revisions.may_use(driver, package):
                await connection.rollback()
                await _note_usable(connection, package, revision)
                await _migrate(connection, package, database_url, revision)
                await _note_usable(connection, package, revision)
            if served_by is not None:
                await _grant(connection, served_by)
            await connection.commit()
    finally:
        await engine.dispose()


@asynccontextmanager
async def _alone(engine: AsyncEngine) -> AsyncIterator[None]:
    """Hold the lock by which one replica migrates.

    The session has it, not a transaction, and who waits for it asks again and again: where an index is built
    without locking its table, that waits for every transaction and every statement that began before.
    """
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        while not await connection.scalar(sa.select(sa.func.pg_try_advisory_lock(LOCK))):  # noqa: ASYNC110
            await asyncio.sleep(LOOK_AGAIN_S)
        yield


async def _migrate(connection: AsyncConnection, package: str, database_url: str, revision: str) -> None:
    if importlib.util.find_spec(f"{package}.migrate") is not None:
        own = importlib.import_module(f"{package}.migrate")
        await asyncio.to_thread(own.upgrade, database_url)
        return
    for tried in range(1, TRIES + 1):
        try:
            await connection.run_sync(_upgrade, package, revision)
        except DBAPIError as error:
            await connection.rollback()
            if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE or tried == TRIES:
                raise
            await asyncio.sleep(1)
        else:
            return


async def _note_usable(connection: AsyncConnection, package: str, revision: str) -> None:
    """Note from which revision on code may use the tables: before they change, and once there is a place."""
    code = revisions.known(package)
    if code is None or revision != "head":
        return
    known = sa.text("SELECT to_regclass(:table) IS NOT NULL")
    if await connection.scalar(known, {"table": f"public.{code.table}"}):
        await connection.exec_driver_sql(f"COMMENT ON TABLE {code.table} IS '{code.usable_from}'")
    await connection.commit()


async def _grant(connection: AsyncConnection, role: str) -> None:
    name = connection.dialect.identifier_preparer.quote_identifier(role)
    for right in (
        "USAGE ON SCHEMA public",
        f"{ROWS} ON ALL TABLES IN SCHEMA public",
        "USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public",
    ):
        await connection.exec_driver_sql(f"GRANT {right} TO {name}")
    for table, rights in NOT_GIVEN.items():
        known = sa.text("SELECT to_regclass(:table) IS NOT NULL")
        if await connection.scalar(known, {"table": f"public.{table}"}):
            await connection.exec_driver_sql(f"REVOKE {rights} ON {table} FROM {name}")


def _upgrade(connection: sa.Connection, package: str, revision: str) -> None:
    config = alembic_config(package)
    config.attributes["connection"] = connection
    connection.exec_driver_sql(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
    connection.commit()
    command.upgrade(config, revision)


def run_env() -> None:
    """The body of every service's ``migrations/env.py``."""
    from alembic import context  # noqa: PLC0415 - only there while alembic runs

    connection = context.config.attributes["connection"]
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


def main() -> None:
    """Upgrade the database in ``LAUNDRY_DATABASE_URL`` to the newest revision."""
    parser = argparse.ArgumentParser(prog="python -m laundry_service.migrate", description=__doc__)
    parser.add_argument("package", help="a service's Python package, e.g. helper")
    parser.add_argument("--revision", default="head")
    arguments = parser.parse_args()
    end_at_sigterm()
    url = _given("LAUNDRY_DATABASE_URL")
    if url is None:
        sys.exit("LAUNDRY_DATABASE_URL is not set: postgresql://user:password@host/database")
    owner = _given("LAUNDRY_DATABASE_OWNER_URL")
    served_by = sa.make_url(url).username if owner else None
    try:
        asyncio.run(_checked(arguments.package, owner or url, arguments.revision, served_by=served_by))
    except (TransactionPooling, revisions.NewerDatabase) as refusal:
        sys.exit(f"Not migrated: {refusal}.")
    except Exception as error:
        if not _may_come(error):
            raise
        print(f"Not migrated: {type(error).__name__}: {str(error)[:300]}", file=sys.stderr)
        sys.exit(MAY_COME)


def _may_come(error: Exception) -> bool:
    return is_outage(error) or getattr(error, "sqlstate", None) in NOT_YET


def _given(name: str) -> str | None:
    """An address of a database as it was given; a wrong one ends the program with a sentence."""
    address = secret_files.given(name)
    if not address:
        return None
    try:
        return asyncpg_url(address)
    except ValueError as error:
        sys.exit(f"{name} cannot be used: {error}.")


async def _checked(package: str, database_url: str, revision: str, *, served_by: str | None) -> None:
    await refuse_transaction_pooling(database_url)
    await upgrade(package, database_url, revision, served_by=served_by)


if __name__ == "__main__":
    main()
