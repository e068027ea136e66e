"""PostgreSQL goes away with readings in the queue: they wait for it and none loses an attempt."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from sqlalchemy.engine import make_url

from helper.app import create_app
from laundry_events import Publisher
from laundry_events.topology import PLAN
from laundry_testing.cable import Cable
from laundry_testing.identity import FileIdentity
from laundry_testing.messaging import Messaging, eventually
from laundry_testing.serving import metrics_text, serving

from .conftest import MakeSettings, Service, reading

pytestmark = pytest.mark.servers


@pytest_asyncio.fixture
async def cable(database_url: str) -> AsyncIterator[Cable]:
    url = make_url(database_url)
    cable = Cable()
    await cable.plug(url.host or "127.0.0.1", url.port or 5432)
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
