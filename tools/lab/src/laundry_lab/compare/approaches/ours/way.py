"""The publisher, confirmed, and a consumer that acknowledges; a quorum queue between them."""

import aio_pika

from laundry_events import Publisher
from laundry_events.plan import EVENTS_EXCHANGE
from laundry_lab.compare.approaches.design import Addresses
from laundry_lab.compare.approaches.transport import Pacer, Taken

KEY, PREFETCH = "task.submitted", 200


class Way:
    """The library's publisher, and aio-pika."""

    async def send(self, addresses: Addresses, pacer: Pacer) -> None:
        """Publish, and wait for each confirm."""
        publisher = Publisher(addresses["broker"], source="helper")
        await publisher.wait_connected()
        await pacer.send_each(
            lambda body: publisher.send(EVENTS_EXCHANGE, KEY, body=body, headers={}, message_id=None)
        )
        await publisher.stop()

    async def take(self, addresses: Addresses, taken: Taken) -> None:
        """Consume messages and acknowledge each."""
        connection = await aio_pika.connect(addresses["broker"], timeout=10)
        async with connection, connection.channel() as channel:
            await channel.set_qos(PREFETCH)
            queue = await channel.get_queue(KEY, ensure=False)
            async with queue.iterator() as messages:
                taken.ready.set()
                async for message in messages:
                    await message.ack()
                    if taken.add(message.body):
                        return
