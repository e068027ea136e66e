"""The queues' counts as metrics, so that alerts need no exporter at the broker."""

import time
from collections.abc import Mapping

from prometheus_client import Gauge

from laundry_events.topology import PLAN
from operations.management import Management, ManagementAway
from operations.queue_health import Age, Ages, Counts, filled

MESSAGES = Gauge("laundry_queue_messages", "Messages that a queue holds, taken ones with them", ["queue"])
CONSUMERS = Gauge("laundry_queue_consumers", "Who takes messages from a queue", ["queue"])
OLDEST = Gauge("laundry_queue_oldest_seconds", "About how old a queue's oldest message is", ["queue"])
DEAD = Gauge("laundry_dead_letters", "Dead letters that wait for a person", ["queue"])
FILLED = Gauge(
    "laundry_queue_filled_ratio", "How full a queue is by its nearest limit, 1 for full", ["queue"]
)
ALL = (MESSAGES, CONSUMERS, OLDEST, DEAD, FILLED)


def show(counts: Mapping[str, Counts], ages: Ages, now: float) -> None:
    """Set every gauge from one look at the broker; a queue that is missing has no consumer."""
    for queue in PLAN.queues:
        if queue.dead is None:
            continue
        main = counts.get(queue.name, Counts(queue.name))
        age: Age | None = ages.oldest(main, now)
        MESSAGES.labels(queue.name).set(main.messages)
        CONSUMERS.labels(queue.name).set(main.consumers)
        OLDEST.labels(queue.name).set(age.seconds if age else 0.0)
        dead = counts.get(queue.dead)
        DEAD.labels(queue.name).set(dead.messages if dead else 0)
        for name, max_bytes in queue.limits.items():
            length = queue.max_length if name == queue.name else None
            found = counts.get(name, Counts(name))
            FILLED.labels(name).set(filled(found, max_bytes=max_bytes, max_length=length))


def hide() -> None:
    """Remove the gauges while the broker does not answer: old values may no longer be true."""
    for gauge in ALL:
        gauge.clear()


class QueueSampler:
    """Samples every queue, for the metrics and for the age of messages."""

    def __init__(self, management: Management, ages: Ages) -> None:
        self._management = management
        self._ages = ages

    async def sample(self) -> None:
        """Take one sample.

        Raises:
            ManagementAway: no node answers; the gauges are removed until one does.
        """
        try:
            queues = await self._management.queues()
        except ManagementAway:
            hide()
            raise
        now = time.monotonic()
        for counts in queues.values():
            self._ages.observe(counts, now)
        show(queues, self._ages, now)
