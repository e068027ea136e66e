"""A stream on the disk, confirmed, and a pull consumer that acknowledges."""

import asyncio
import contextlib

import nats.errors

from laundry_lab.compare.approaches.design import Addresses
from laundry_lab.compare.approaches.event_store import stream
from laundry_lab.compare.approaches.transport import IN_FLIGHT, Pacer, Taken

BATCH = 200


class Way:
    """JetStream by nats-py."""

    async def send(self, addresses: Addresses, pacer: Pacer) -> None:
        """Publish, and wait for each confirm."""
        connection = await stream.connect(addresses["broker"])
        context = connection.jetstream(timeout=10)
        left = iter(range(pacer.number))

        async def lane() -> None:
            for _ in left:
                await context.publish(stream.SUBJECT, pacer.body())
                if pacer.pause_s:
                    await asyncio.sleep(pacer.pause_s)

        async with asyncio.TaskGroup() as lanes:
            for _ in range(1 if pacer.pause_s else IN_FLIGHT):
                lanes.create_task(lane())
        await connection.close()

    async def take(self, addresses: Addresses, taken: Taken) -> None:
        """Fetch and acknowledge."""
        connection = await stream.connect(addresses["broker"])
        context = connection.jetstream()
        await stream.ensure(context)
        subscription = await stream.subscribe(context)
        taken.ready.set()
        done = False
        while not done:
            with contextlib.suppress(nats.errors.TimeoutError):
                for message in await subscription.fetch(BATCH, timeout=1):
                    await message.ack()
                    done = taken.add(message.data)
        await connection.close()
