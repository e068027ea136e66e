"""Problems that several endpoints share: a queue that is unknown, held or unreachable."""

from laundry_events.plan import dead_queue
from laundry_events.topology import PLAN
from laundry_service.http.problems import Problem
from operations.service.letters import QueueBusy

QUEUES = {queue.name: queue for queue in PLAN.queues if queue.dead}
AGAIN = {"Retry-After": "5"}


def main_queue(name: str) -> str:
    """Return the named main queue. Raises Problem."""
    for queue in QUEUES:
        if name in (queue, dead_queue(queue)):
            return queue
    raise Problem(404, "queue-unknown", f"There is no queue {name[:80]!r}. There are: {', '.join(QUEUES)}.")


def away(error: Exception) -> Problem:
    """Make the problem for a broker, or a queue, that cannot be read now."""
    if isinstance(error, QueueBusy):
        return Problem(
            503, "queue-busy", "Others are at work on this queue. Try again in a moment.", headers=AGAIN
        )
    return Problem(503, "broker-unavailable", "The broker does not answer. Try again shortly.", headers=AGAIN)
