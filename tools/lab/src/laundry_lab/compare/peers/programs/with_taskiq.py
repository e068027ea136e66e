"""taskiq with aio-pika: quorum, persistent and confirmed by default; a message's deliveries have no limit."""

from taskiq_aio_pika import AioPikaBroker

from laundry_lab.compare.peers.programs.looped import Effects, run, send_orders
from laundry_lab.compare.peers.programs.orders import AMQP_URL, IN_HAND

broker = AioPikaBroker(AMQP_URL, qos=IN_HAND)
effects = Effects()


# Named, since the program that sends has another name for this module than the one that works.
@broker.task(task_name="record")
async def record(number: int, due: float, padding: str) -> None:
    """Have the effect of a task."""
    await effects.record(number, due)


async def main() -> None:
    """Send what standard input tells."""
    await broker.startup()
    await send_orders(record.kiq)
    await broker.shutdown()


if __name__ == "__main__":
    run(main())
