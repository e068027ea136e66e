"""PostgreSQL goes away with readings in the queue: they wait for it and none loses an attempt."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import pytest_asyncio
from sqlalchemy.engine import make_url

from helper.app import create_app
from laundry_events import Publisher
from laundry_events.topology import PLAN
from laundry_servers.ports import free_port
from laundry_service.migrate import upgrade
from laundry_testing.identity import FileIdentity
from laundry_testing.messaging import Messaging, eventually
from laundry_testing.serving import metrics_text, serving

from .conftest import MakeSettings, Service, reading

pytestmark = pytest.mark.servers


class Cable:
    """The way to PostgreSQL, to be pulled out and put back."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._ends: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        # None that a connection of somebody else can take while the cable is pulled.
        self.port = free_port()

    async def plug(self) -> None:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)

    async def pull(self) -> None:
        assert self._server is not None
        self._server.close()
        for end in self._ends:
            end.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        ends = {writer, far_writer}
        self._ends |= ends
        with suppress(OSError):
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        self._ends -= ends


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


@pytest_asyncio.fixture
async def cable(database_url: str) -> AsyncIterator[Cable]:
    url = make_url(database_url)
    cable = Cable(url.host or "127.0.0.1", url.port or 5432)
    await cable.plug()
    yield cable
    await cable.pull()


async def test_readings_wait_for_the_database(
    cable: Cable,
    make_settings: MakeSettings,
    messaging: Messaging,
    reader: Publisher,
    database_url: str,
    identity: FileIdentity,
) -> None:
    await upgrade("helper", database_url)
    by_cable = make_url(database_url).set(host="127.0.0.1", port=cable.port)
    settings = make_settings(
        amqp_url=messaging.amqp_url, database_url=by_cable.render_as_string(hide_password=False)
    )
    async with serving(create_app(settings)) as http:
        service = Service(http, identity, messaging)
        await eventually(lambda: messaging.consumers("task.read"), what="a consumer of task.read")
        task = (await service.upload()).json()
        await cable.pull()
        await reader.publish(reading(task))

        async def held() -> bool:
            metrics = metrics_text()
            return 'laundry_consumer_paused{dependency="postgresql"} 1.0' in metrics

        await eventually(held, what="a pause")
        await cable.plug()
        await service.has_status(task["id"], "read")
    plan = PLAN.queue("task.read")
    for name in (*(retry for retry, _ in plan.retries), str(plan.dead)):
        assert await messaging.count(name) == 0
