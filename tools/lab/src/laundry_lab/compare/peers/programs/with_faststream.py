"""FastStream alone: by default messages are transient, and those without a queue vanish in silence."""

from faststream import AckPolicy, FastStream
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitQueue
from pydantic import BaseModel

from laundry_lab.compare.peers.programs.looped import Effects, run, send_orders
from laundry_lab.compare.peers.programs.orders import AMQP_URL, IN_HAND

QUEUE = RabbitQueue("effects", queue_type=QueueType.QUORUM, durable=True)
# Without a limit one process takes the whole queue.
broker = RabbitBroker(AMQP_URL, default_channel=Channel(prefetch_count=IN_HAND, on_return_raises=True))
app = FastStream(broker)
effects = Effects()


class Task(BaseModel):
    """A task whose effect is one row in the database."""

    number: int
    due: float
    padding: str


@broker.subscriber(QUEUE, ack_policy=AckPolicy.NACK_ON_ERROR)
async def record(task: Task) -> None:
    """Have the effect of a task."""
    await effects.record(task.number, task.due)


async def main() -> None:
    """Send what standard input tells."""
    await broker.connect()
    await broker.declare_queue(QUEUE)

    async def publish(number: int, due: float, padding: str) -> None:
        await broker.publish(Task(number=number, due=due, padding=padding), QUEUE, persist=True)

    await send_orders(publish)
    await broker.stop()


if __name__ == "__main__":
    run(main())
