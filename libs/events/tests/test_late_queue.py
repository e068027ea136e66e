"""A consumer that starts before its queue is there works as any other once it is."""

import pytest
from aio_pika.exceptions import ChannelNotFoundEntity

from laundry_events import EventMeta, Publisher, make_broker
from laundry_events.events import TaskRead
from laundry_testing.events import reading
from laundry_testing.messaging import Messaging, apply_plan, eventually

from .consuming import consume

QUEUE = "task.read"


@pytest.mark.servers
async def test_a_start_that_failed_does_not_keep_messages_from_being_handled(
    messaging: Messaging, publisher: Publisher
) -> None:
    handled: list[str] = []
    broker = make_broker(messaging.amqp_url, service="tests", graceful_timeout_s=5)
    consumer = consume(broker, publisher)

    @consumer.on(QUEUE, TaskRead, prefetch=4)
    async def take(event: TaskRead, meta: EventMeta) -> None:
        handled.append(event.task_id)

    async with messaging.channel() as channel:
        await (await channel.get_queue(QUEUE, ensure=False)).delete(if_unused=False, if_empty=False)
    with pytest.raises(ChannelNotFoundEntity):
        await broker.start()
    await broker.stop()

    apply_plan(messaging.broker, messaging.vhost)
    await broker.start()
    try:
        await publisher.publish(reading())
        await eventually(lambda: handled == ["t1"], what="the message in its handler")
    finally:
        await broker.stop()
