"""A scratch virtual host and database for one measurement, on the stack's servers; dropped afterwards."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import asyncpg
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from laundry.stack import state
from laundry_events.definitions import definitions
from laundry_events.tables import create_inbox, create_outbox
from laundry_events.topology import PLAN
from laundry_lab.bench.stage import NotMeasured, Stage
from laundry_servers import vhosts
from laundry_servers.addresses import BrokerAddress, DatabaseAddress, amqp_url
from laundry_servers.files import read_json
from laundry_servers.postgres import SUPERUSER, drop_database, ensure_database


@dataclass(frozen=True, slots=True)
class Scratch:
    """A virtual host with the whole plan, and a database with an outbox and an inbox."""

    amqp_url: str = field(repr=False)
    database_url: str = field(repr=False)


@asynccontextmanager
async def scratch_space(stage: Stage) -> AsyncIterator[Scratch]:
    """Make both, and drop them whatever happens.

    Raises:
        NotMeasured: the database server's administrator is not known here.
    """
    name = f"bench_{stage.run}_{secrets.token_hex(3)}"
    url = stage.document["amqp_urls"][0]
    target = stage.broker
    broker = BrokerAddress(
        url,
        [url],
        [target.management_url],
        "",
        target.username,
        target.password,
        tls=state.tls_of(stage.document),
    )
    server = administrator(stage)
    await asyncio.to_thread(vhosts.create, broker, name)
    try:
        await asyncio.to_thread(_apply_plan, stage, name)
        async with scratch_database(server, name) as database:
            await make_messaging_tables(database)
            here = amqp_url(url, username=target.username, password=target.password, vhost=name)
            yield Scratch(here, database)
    finally:
        await asyncio.to_thread(vhosts.delete, broker, name)


@asynccontextmanager
async def scratch_database(administrator: DatabaseAddress, name: str) -> AsyncIterator[str]:
    """Make an empty database with a login of its own; yields its URL, and drops both whatever happens."""
    url = await ensure_database(administrator, name, name, secrets.token_urlsafe(24))
    try:
        yield url
    finally:
        await drop_database(administrator, name)
        await _drop_role(administrator, name)


def administrator(stage: Stage) -> DatabaseAddress:
    """Return the database server's administrator. Raises NotMeasured: it is not known here."""
    given = os.environ.get("LAUNDRY_POSTGRES_URL")
    if given:
        parts = urlsplit(given)
        return DatabaseAddress(
            str(parts.hostname), parts.port or 5432, parts.username or "", parts.password or ""
        )
    kept: dict[str, Any] = read_json(stage.paths.secrets_file) or {}
    if "database_admin" not in kept:
        raise NotMeasured(
            "no scratch database can be made: name an administrator in LAUNDRY_POSTGRES_URL, "
            "or measure on the stack of `laundry up`"
        )
    parts = urlsplit(next(iter(stage.document["postgres_urls"].values())))
    return DatabaseAddress(str(parts.hostname), parts.port or 5432, SUPERUSER, kept["database_admin"])


def _apply_plan(stage: Stage, vhost: str) -> None:
    nodes = len(stage.document["amqp_urls"])
    with stage.broker.client() as client:
        client.post("/api/definitions", json=definitions(PLAN, vhost=vhost, nodes=nodes)).raise_for_status()


async def make_messaging_tables(database_url: str) -> None:
    """Make the tables of an outbox and an inbox."""
    engine = create_async_engine(database_url.replace("postgresql://", "postgresql+asyncpg://", 1))
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_tables)
    finally:
        await engine.dispose()


def _tables(connection: Connection) -> None:
    operations: Any = Operations(MigrationContext.configure(connection))
    create_outbox(operations)
    create_inbox(operations)


async def _drop_role(administrator: DatabaseAddress, name: str) -> None:
    connection = await asyncpg.connect(administrator.url(), timeout=10)
    try:
        await connection.execute(f'DROP ROLE IF EXISTS "{name}"')
    finally:
        await connection.close()
