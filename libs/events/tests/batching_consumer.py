"""A consumer in batches that is killed, started again as a cluster would: run by ``test_batch_delivery.py``.

Forked rather than started as a new program, so that a death costs little. ``commit`` in its arguments has it
killed after its first transaction's commit, before any message of it is acknowledged; otherwise poison kills
it. It ends with ``the last`` message.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from laundry_events import EventConsumer, Publisher, Received, make_broker
from laundry_events.events import TaskRead
from laundry_events.topology import PLAN


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def consume(amqp_url: str, database_url: str, *, dies_at_commit: bool) -> None:
    publisher = Publisher(amqp_url, source="batching")
    await publisher.wait_connected()
    broker = make_broker(amqp_url, service="batching", graceful_timeout_s=2)
    consumer = EventConsumer(broker, publisher, PLAN, service="batching", service_version="1")
    engine = create_async_engine(database_url)

    @asynccontextmanager
    async def transaction() -> AsyncIterator[AsyncConnection]:
        async with engine.begin() as connection:
            yield connection
        if dies_at_commit:
            die()

    ended = asyncio.Event()

    @consumer.on_batch(
        "task.read", TaskRead, prefetch=20, inbox="batching.task-read", transaction=transaction
    )
    async def handle(session: AsyncConnection, messages: Sequence[Received[TaskRead]]) -> None:
        # Long enough that what was taken together is in flight together.
        await asyncio.sleep(0.05)
        for event, _ in messages:
            await session.execute(text("INSERT INTO effects VALUES (:task)"), {"task": event.task_id})
            if event.task_id == "poison":
                die()
            if event.task_id == "the last":
                ended.set()

    await broker.start()
    async with asyncio.timeout(120):
        await ended.wait()
    await broker.stop()


def main() -> int:
    """Start consumers until one ends by itself."""
    amqp_url, database_url, when = sys.argv[1:]
    dies_at_commit = when == "commit"
    while True:
        child = os.fork()
        if child == 0:
            asyncio.run(consume(amqp_url, database_url, dies_at_commit=dies_at_commit))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            return 0
        dies_at_commit = False
        print("died", flush=True)


if __name__ == "__main__":
    sys.exit(main())
