from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from laundry_events import Publisher
from laundry_events.tables import create_inbox, create_outbox
from laundry_testing.messaging import Messaging


@pytest_asyncio.fixture
async def publisher(messaging: Messaging) -> AsyncIterator[Publisher]:
    publisher = Publisher(messaging.amqp_url, source="tests")
    await publisher.wait_connected()
    yield publisher
    await publisher.stop()


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
