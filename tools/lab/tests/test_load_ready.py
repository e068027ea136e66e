"""What waits for the consumers of a straight run is counted as it is, on a real broker."""

import aio_pika
import pytest

from laundry_lab.load.draining import ready
from laundry_testing.messaging import eventually
from laundry_testing.plugin import Vhost

QUEUE = "load.ready"


@pytest.mark.servers
async def test_what_was_just_published_waits_and_what_a_consumer_has_not(vhost: Vhost) -> None:
    look = ready(vhost.amqp_url, QUEUE)
    assert await look() is None
    async with await aio_pika.connect(vhost.amqp_url) as connection, connection.channel() as channel:
        queue = await channel.declare_queue(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
        assert await look() == 0
        for _ in range(3):
            message = aio_pika.Message(b"{}", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            await channel.default_exchange.publish(message, QUEUE)
        assert await look() == 3
        taken = await queue.get(timeout=10)
        assert await look() == 2
        await taken.nack(requeue=True)

    async def returned() -> bool:
        return await look() == 3

    await eventually(returned, what="the message that was given back")
