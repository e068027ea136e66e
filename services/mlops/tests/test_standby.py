"""A service that waits to run trainings notices when its way to the database breaks without a word."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from sqlalchemy.engine import make_url

from laundry_events.dsn import plain_dsn
from laundry_service.storage.database import Database
from laundry_testing.messaging import eventually
from mlops.launching.processes import Processes
from mlops.service import runner as runners
from mlops.service.runner import RUNNER_LOCK, Runner

from .test_run_processes import queued, reaches, sleeping_job

pytestmark = pytest.mark.servers

ASKS = (
    "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() "
    "AND query LIKE '%advisory_lock(%' AND application_name = 'training-runner')"
)


class Way:
    """Leads to a server until it falls silent: then nothing arrives, and nobody is told."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._carries = asyncio.Event()
        self._carries.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def open(self) -> int:
        """Return the port that leads there."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def fall_silent(self) -> None:
        """Carry no more of what is open; who comes anew gets through."""
        self._carries.clear()
        self._carries = asyncio.Event()
        self._carries.set()

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        self._writers |= {writer, far_writer}
        for one, other in ((reader, far_writer), (far_reader, writer)):
            self._tasks.add(asyncio.create_task(self._pump(one, other, self._carries)))

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, carries: asyncio.Event
    ) -> None:
        while data := await reader.read(65536):
            await carries.wait()
            writer.write(data)
        await carries.wait()
        writer.close()


@pytest_asyncio.fixture
async def way(database_url: str) -> AsyncIterator[Way]:
    url = make_url(database_url)
    way = Way(url.host or "127.0.0.1", url.port or 5432)
    yield way
    await way.close()


async def test_who_waits_to_lead_learns_that_the_way_there_broke(
    database: Database, database_url: str, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runners, "LEAD_POLL_S", 0.2)
    monkeypatch.setattr(runners, "ANSWERS_WITHIN_S", 1.0)
    port = await way.open()
    led = make_url(database_url).set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
    leader = await asyncpg.connect(plain_dsn(database_url))
    await leader.execute("SELECT pg_advisory_lock($1)", RUNNER_LOCK)
    standby = Runner(database, led, Processes(command=sleeping_job), timeout_s=60)
    await standby.start()

    async def waits() -> bool:
        return bool(await leader.fetchval(ASKS))

    await eventually(waits, what="a standby")
    way.fall_silent()
    run_id = await queued(database)
    await leader.close()
    await reaches(database, run_id, "running")
    await standby.stop()


async def test_the_lock_ends_with_a_host_that_vanishes(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its database asks the other end after seconds; by default after two hours."""
    given: list[dict[str, str]] = []
    connect = asyncpg.connect

    async def noted(dsn: str, **options: Any) -> Any:
        given.append(options.get("server_settings", {}))
        return await connect(dsn, **options)

    monkeypatch.setattr(asyncpg, "connect", noted)
    runner = Runner(database, database_url, Processes(command=sleeping_job), timeout_s=60)
    await runner.start()
    await eventually(lambda: runner._lock is not None, what="a connection")
    await runner.stop()
    idle, interval, count = (
        int(given[0][f"tcp_keepalives_{name}"]) for name in ("idle", "interval", "count")
    )
    assert 0 < idle + interval * count <= 30


async def test_who_leads_leaves_its_run_before_the_database_lets_another_lead(
    database: Database, database_url: str, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runners, "ASK_EVERY_S", 0.1)
    monkeypatch.setattr(runners, "HELD_WITHIN_S", 0.5)
    monkeypatch.setattr(runners, "ANSWERS_WITHIN_S", 300.0)
    port = await way.open()
    led = make_url(database_url).set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
    leader = Runner(database, led, Processes(command=sleeping_job), timeout_s=300)
    await leader.start()
    run_id = await queued(database)
    await reaches(database, run_id, "running")
    way.fall_silent()
    await reaches(database, run_id, "queued")
    await leader.stop()
