"""Task and event in one transaction; the relay publishes after commit."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from laundry_events import Outbox, Publisher, Relay
from laundry_events.events import TaskSubmitted
from laundry_lab.compare.approaches.design import POOL, Addresses, NotAccepted

TASK = sa.text("INSERT INTO tasks (task_id, body) VALUES (:task_id, :body)")


class Producer:
    """Plays the helper in this design: accepts photos and announces them."""

    def __init__(self, addresses: Addresses) -> None:
        url = addresses["database"].replace("postgresql://", "postgresql+asyncpg://", 1)
        self._engine = create_async_engine(url, pool_size=POOL, pool_pre_ping=True)
        self._outbox = Outbox("helper")
        self._publisher = Publisher(addresses["broker"], source="helper")
        self._relay = Relay(addresses["database"], self._publisher)

    async def start(self) -> None:
        """Connect to the database; the broker may come later."""
        await self._publisher.start()
        await self._relay.start()
        async with self._engine.connect() as connection:
            await connection.execute(sa.text("SELECT 1"))

    async def submit(self, photo: TaskSubmitted) -> None:
        """Store the task and its event in one transaction."""
        try:
            async with self._engine.begin() as connection:
                body = photo.model_dump_json().encode()
                await connection.execute(TASK, {"task_id": photo.task_id, "body": body})
                await self._outbox.add(connection, photo)
        except (OSError, TimeoutError, sa.exc.SQLAlchemyError) as error:
            raise NotAccepted(str(error)) from error
        self._relay.wake()

    async def stop(self) -> None:
        """Stop taking messages and close the connections."""
        await self._relay.stop(grace_s=1)
        await self._publisher.stop()
        await self._engine.dispose()
