"""Effect and inbox row in one transaction, acknowledged after commit."""

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from laundry_events import EventConsumer, EventMeta, Publisher, claim_once, make_broker
from laundry_events.events import TaskSubmitted
from laundry_events.topology import PLAN
from laundry_lab.compare.approaches.design import CONCURRENCY, POOL, Addresses
from laundry_lab.compare.approaches.work import Work

SERVICE = "ai-consumer"
EFFECT = sa.text(
    "INSERT INTO effects (task_id, worker, received_at, done_at) "
    "VALUES (:task_id, :worker, :received_at, :done_at)"
)


class Worker:
    """Plays an AI replica in this design: takes photos and stores their effects."""

    def __init__(self, addresses: Addresses, work: Work) -> None:
        self._publisher = Publisher(addresses["broker"], source=SERVICE)
        self._broker = make_broker(addresses["broker"], service=SERVICE, graceful_timeout_s=5)
        url = addresses["database"].replace("postgresql://", "postgresql+asyncpg://", 1)
        self._engine = create_async_engine(url, pool_size=POOL, pool_pre_ping=True)
        consumer = EventConsumer(self._broker, self._publisher, PLAN, service=SERVICE, service_version="0")

        @consumer.on("task.submitted", TaskSubmitted, prefetch=CONCURRENCY)
        async def take(photo: TaskSubmitted, meta: EventMeta) -> None:
            effect = await work.do(photo)
            async with self._engine.begin() as connection:
                if not await claim_once(connection, "compare", meta.id):
                    return
                await connection.execute(EFFECT, effect._asdict())
            work.committed(effect)

    async def start(self) -> None:
        """Connect, and consume the queue."""
        await self._publisher.wait_connected()
        await self._broker.start()

    async def stop(self) -> None:
        """Finish what is in flight, and disconnect."""
        await self._broker.stop()
        await self._publisher.stop()
        await self._engine.dispose()
