"""An outage of the database is told from a bug."""

import asyncio
import errno
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import exc, text

from laundry_service.http.outages import install_outages
from laundry_service.http.problems import install_problems
from laundry_service.messaging.dependencies import database_dependency
from laundry_service.storage.database import Database
from laundry_service.storage.outages import is_outage, is_unstorable

NOBODY_THERE = "postgresql+asyncpg://nobody:nothing@127.0.0.1:9/none"


async def answer_to(error: Exception | None) -> httpx.Response:
    app = FastAPI()
    install_problems(app)
    install_outages(app)

    @app.get("/")
    async def ask() -> None:
        if error is not None:
            raise error
        async with Database(NOBODY_THERE).session() as session:
            await session.execute(text("SELECT 1"))

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.get("/")


async def test_a_database_that_is_not_there_is_503_with_a_time_to_wait() -> None:
    answer = await answer_to(None)
    assert (answer.status_code, answer.json()["code"]) == (503, "database-unavailable")
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    "error",
    [
        exc.OperationalError("SELECT", {}, Exception("terminating connection")),
        exc.DBAPIError("SELECT", {}, Exception("closed"), connection_invalidated=True),
        exc.TimeoutError("no connection of the pool came free"),
        TimeoutError(),
        ConnectionResetError(),
        socket.gaierror("no such host"),
        OSError(errno.EHOSTUNREACH, "no route to host"),
    ],
)
async def test_lost_and_late_connections_are_outages(error: Exception) -> None:
    assert (await answer_to(error)).status_code == 503


class Refusal(Exception):
    """What the driver raises, with PostgreSQL's code."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__(sqlstate)
        self.sqlstate = sqlstate


@pytest.mark.parametrize("state", ["08006", "25006", "53300", "57014", "57P01"])
def test_a_server_that_is_away_full_or_too_slow_is_an_outage_whoever_raises(state: str) -> None:
    assert is_outage(Refusal(state))
    assert is_outage(exc.DBAPIError("UPDATE", {}, Refusal(state)))


def test_a_driver_whose_connection_is_closed_tells_of_an_outage() -> None:
    assert is_outage(asyncpg.InterfaceError("connection is closed"))


@pytest.mark.parametrize("state", ["55P03", "40P01", "40001"])
async def test_rows_that_somebody_holds_are_no_outage_and_no_bug(state: str) -> None:
    error = exc.DBAPIError("UPDATE", {}, Refusal(state))
    assert not is_outage(error)
    answer = await answer_to(error)
    assert (answer.status_code, answer.json()["code"]) == (503, "busy")
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    "error",
    [
        exc.ProgrammingError("SELECT", {}, Exception("no such column")),
        FileNotFoundError("a file"),
        KeyError("x"),
    ],
)
async def test_anything_else_stays_a_bug(error: Exception) -> None:
    answer = await answer_to(error)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal-error")


@asynccontextmanager
async def starting_server() -> AsyncIterator[str]:
    """Answer as PostgreSQL does while it starts: it takes connections and refuses every login."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tls_or_login = await reader.readexactly(8)
        if tls_or_login[4:] == struct.pack("!I", 80877103):
            writer.write(b"N")
            await reader.readexactly(8)
        fields = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0"
        writer.write(b"E" + struct.pack("!I", len(fields) + 4) + fields)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        yield f"postgresql+asyncpg://u:p@127.0.0.1:{server.sockets[0].getsockname()[1]}/d"


async def test_a_database_that_starts_is_an_outage() -> None:
    async with starting_server() as url:
        database = Database(url)
        with pytest.raises(exc.DBAPIError) as caught:
            await database.ping()
    assert "starting up" in str(caught.value)
    assert (await answer_to(caught.value)).status_code == 503


@pytest.mark.servers
async def test_a_database_that_only_reads_is_an_outage(database_url: str) -> None:
    database = Database(database_url)
    with pytest.raises(exc.DBAPIError) as caught:
        async with database.transaction() as session:
            await session.execute(text("SET TRANSACTION READ ONLY"))
            await session.execute(text("CREATE TABLE t (id int)"))
    assert await database.ping()
    await database.close()
    assert database_dependency(database).blamed_for(caught.value)
    assert (await answer_to(caught.value)).status_code == 503


class StoreAway(Exception):
    """As a service names an outage for itself."""


def named(error: Exception) -> Exception:
    try:
        raise StoreAway from error
    except StoreAway as away:
        return away


def test_messages_are_held_for_an_outage_by_whatever_name_or_group() -> None:
    blames = database_dependency(Database(NOBODY_THERE)).blamed_for
    outage = exc.OperationalError("SELECT", {}, Exception("terminating connection"))
    assert blames(outage)
    assert blames(named(outage))
    assert blames(ExceptionGroup("several at once", [KeyError("x"), outage]))
    assert not blames(named(KeyError("x")))
    assert not blames(ExceptionGroup("several at once", [KeyError("x")]))


def test_a_value_that_the_database_refuses_is_no_outage_of_it() -> None:
    refused = asyncpg.DataError("invalid input for query argument $1")
    wrapped = ConnectionError("the audit cannot be read")
    wrapped.__cause__ = refused
    assert is_unstorable(wrapped)
    assert not is_unstorable(ConnectionError("away"))
