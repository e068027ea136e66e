"""Celery: quorum queues, confirmed, acknowledged when done, and taken back from a child that was killed."""

from celery import Celery

from laundry_lab.compare.peers.programs import threaded
from laundry_lab.compare.peers.programs.orders import AMQP_URL, CALLERS

# A task is named after its module, which has this name in the workers.
app = Celery("laundry_lab.compare.peers.programs.with_celery", broker=AMQP_URL)
app.conf.update(
    task_default_queue_type="quorum",
    # Without it nobody waits for the broker, and what it did not store is lost in silence.
    broker_transport_options={"confirm_publish": True},
    # Without these two a message is acknowledged before its task runs, and one whose child is killed is
    # acknowledged as well.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    # A connection for each caller; 10 would make them wait for each other.
    broker_pool_limit=CALLERS,
    # No task is delayed here, and 28 quorum queues for delays would be made at every start.
    broker_native_delayed_delivery_queue_type="classic",
    broker_connection_retry_on_startup=True,
)


@app.task
def record(number: int, due: float, padding: str) -> None:
    """Have the effect of a task."""
    threaded.record(number, due)


if __name__ == "__main__":
    threaded.send_orders(record.delay)
