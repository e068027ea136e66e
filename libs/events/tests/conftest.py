from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from laundry_events import Publisher, make_broker
from laundry_events.broker import ConsumingBroker
from laundry_events.plan import Plan
from laundry_events.tables import create_inbox, create_outbox
from laundry_events.topology import PLAN
from laundry_testing.messaging import Messaging

# A virtual host with the whole plan takes two seconds of a processor.
QUEUES = {"task.submitted", "task.read", "task.confirmed", "model.promoted", "telemetry.reported"}


@pytest.fixture
def broker_plan() -> Plan:
    """The queues that most of these tests use; a module that needs every queue says so."""
    return replace(PLAN, queues=tuple(queue for queue in PLAN.queues if queue.name in QUEUES))


@pytest_asyncio.fixture
async def publisher(messaging: Messaging) -> AsyncIterator[Publisher]:
    async with messaging.publisher("tests") as publisher:
        yield publisher


@pytest.fixture
def graceful_timeout_s() -> float:
    """How long a stop waits for what is handled; a module may say otherwise."""
    return 5


@pytest_asyncio.fixture
async def broker(messaging: Messaging, graceful_timeout_s: float) -> AsyncIterator[ConsumingBroker]:
    broker = make_broker(messaging.amqp_url, service="tests", graceful_timeout_s=graceful_timeout_s)
    yield broker
    await broker.stop()


def create_tables(connection: Connection) -> None:
    operations: Any = Operations(MigrationContext.configure(connection))
    create_outbox(operations)
    create_inbox(operations)


@pytest_asyncio.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(database_url)
    async with engine.begin() as connection:
        await connection.run_sync(create_tables)
    yield engine
    await engine.dispose()


@pytest.fixture
def task_id() -> str:
    return "019aab00-0000-7000-8000-000000000001"
