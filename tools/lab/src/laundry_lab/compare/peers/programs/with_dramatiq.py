"""Dramatiq: confirmed, three retries; it cannot ask for quorum queues, so the virtual host makes them."""

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from laundry_lab.compare.peers.programs import threaded
from laundry_lab.compare.peers.programs.orders import AMQP_URL

# Unconfirmed, its default, it also publishes to queues that are not there. max_priority would be refused:
# quorum queues take none.
dramatiq.set_broker(RabbitmqBroker(url=AMQP_URL, confirm_delivery=True))


@dramatiq.actor(max_retries=3)
def record(number: int, due: float, padding: str) -> None:
    """Have the effect of a task."""
    threaded.record(number, due)


if __name__ == "__main__":
    threaded.send_orders(record.send)
