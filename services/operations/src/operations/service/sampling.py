"""The queues' counts as metrics, so that alerts need no exporter at the broker; and whether all are bound.

The history gets a copy of every event. So the broker never says of one that its own queue is no longer bound
that nobody takes it, and its publisher cannot notice.
"""

import time
from collections.abc import Mapping, Set

import structlog
from prometheus_client import Gauge

from laundry_events.definitions import bindings
from laundry_events.plan import Plan
from operations.management import Management, ManagementAway
from operations.queue_health import Age, Ages, Counts, filled

MESSAGES = Gauge("laundry_queue_messages", "Messages that a queue holds, taken ones with them", ["queue"])
CONSUMERS = Gauge("laundry_queue_consumers", "Who takes messages from a queue", ["queue"])
OLDEST = Gauge("laundry_queue_oldest_seconds", "About how old a queue's oldest message is", ["queue"])
DEAD = Gauge("laundry_dead_letters", "Dead letters that wait for a person", ["queue"])
FILLED = Gauge(
    "laundry_queue_filled_ratio", "How full a queue is by its nearest limit, 1 for full", ["queue"]
)
UNBOUND = Gauge(
    "laundry_bindings_missing", "Bindings of a queue that the plan has and the broker lacks", ["queue"]
)
ALL = (MESSAGES, CONSUMERS, OLDEST, DEAD, FILLED, UNBOUND)

log = structlog.get_logger(__name__)

Binding = tuple[str, str, str]
"""Exchange, queue and key."""


def missing(plan: Plan, present: Set[Binding]) -> dict[str, list[Binding]]:
    """Return which bindings a broker lacks, by the main queue that they belong to; each queue is told."""
    found: dict[str, list[Binding]] = {queue.name: [] for queue in plan.queues}
    main = {name: queue.name for queue in plan.queues for name in (*queue.limits, queue.name)}
    for each in bindings(plan, vhost=plan.vhost):
        binding = (each["source"], each["destination"], each["routing_key"])
        if binding not in present and each["destination"] in main:
            found[main[each["destination"]]].append(binding)
    return found


def show(plan: Plan, counts: Mapping[str, Counts], ages: Ages, now: float) -> None:
    """Set every gauge from one look at the broker; a queue that is missing has no consumer."""
    for queue in plan.queues:
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

    def __init__(self, management: Management, ages: Ages, plan: Plan) -> None:
        self._management = management
        self._ages = ages
        self._plan = plan
        self._told: dict[str, list[Binding]] = {}

    async def sample(self) -> None:
        """Take one sample.

        Raises:
            ManagementAway: no node answers; the gauges are removed until one does.
        """
        try:
            queues = await self._management.queues()
            lost = missing(self._plan, await self._management.bindings())
        except ManagementAway:
            hide()
            raise
        now = time.monotonic()
        for counts in queues.values():
            self._ages.observe(counts, now)
        show(self._plan, queues, self._ages, now)
        for queue, lacking in lost.items():
            UNBOUND.labels(queue).set(len(lacking))
            if lacking and lacking != self._told.get(queue):
                log.error(
                    "a queue is not bound as planned: what it is for passes it by",
                    queue=queue,
                    lacking=lacking,
                )
        self._told = lost
