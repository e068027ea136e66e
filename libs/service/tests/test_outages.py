"""An outage of the database is told from a bug."""

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import exc, text

from laundry_service.database import Database
from laundry_service.outages import install_outages
from laundry_service.problems import install_problems

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
    ],
)
async def test_lost_and_late_connections_are_outages(error: Exception) -> None:
    assert (await answer_to(error)).status_code == 503


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
