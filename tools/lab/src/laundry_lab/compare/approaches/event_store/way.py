"""A stream on the disk, confirmed, and a pull consumer that acknowledges."""

import contextlib

import nats.errors

from laundry_lab.compare.approaches.design import Addresses
from laundry_lab.compare.approaches.event_store import stream
from laundry_lab.compare.approaches.transport import Pacer, Taken

BATCH = 200


class Way:
    """A JetStream stream, reached by nats-py."""

    async def send(self, addresses: Addresses, pacer: Pacer) -> None:
        """Publish, and wait for each confirm."""
        connection = await stream.connect(addresses["broker"])
        context = connection.jetstream(timeout=10)
        await pacer.send_each(lambda body: context.publish(stream.SUBJECT, body))
        await connection.close()

    async def take(self, addresses: Addresses, taken: Taken) -> None:
        """Fetch messages in batches and acknowledge each."""
        connection = await stream.connect(addresses["broker"])
        context = connection.jetstream()
        await stream.ensure(context)
        subscription = await stream.subscribe(context)
        taken.ready.set()
        done = False
        while not done:
            # The library raises the one or the other.
            with contextlib.suppress(nats.errors.TimeoutError, TimeoutError):
                for message in await subscription.fetch(BATCH, timeout=1):
                    await message.ack()
                    done = taken.add(message.data)
        await connection.close()
