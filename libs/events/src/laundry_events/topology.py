"""The broker's plan, declared once: what exists, its limits, and who may publish and consume.

Declarations, policies, users and permissions (``definitions``), the services' subscriptions and the
documentation are all generated from ``PLAN``. DD-02 §4.4.2.2.1 names the queues and the retry policy.
"""

from dataclasses import dataclass
from typing import Literal

EVENTS_EXCHANGE = "laundry.events"
RETRY_EXCHANGE = "laundry.retry"
REQUEUE_EXCHANGE = "laundry.requeue"
DEAD_EXCHANGE = "laundry.dead"
TELEMETRY_EXCHANGE = "laundry.telemetry"
ALIVE_EXCHANGE = "laundry.alive"
ALIVE_KEY = "alive"
VHOST = "laundry"

RETRY_DELAYS_S: tuple[int, ...] = (1, 2, 4)
MAX_ATTEMPTS = 1 + len(RETRY_DELAYS_S)
DELIVERY_LIMIT = 20
DEAD_LETTER_TTL_MS = 7 * 24 * 3600 * 1000
STREAM_MAX_AGE = "7D"
MIB = 1024 * 1024
STREAM_SEGMENT_BYTES = 16 * MIB


@dataclass(frozen=True)
class Exchange:
    """A durable topic exchange."""

    name: str
    purpose: str


@dataclass(frozen=True)
class Queue:
    """A main queue; its retry and dead-letter queues follow from it.

    Attributes:
        keys: routing keys bound on ``exchange``.
        max_length: messages it holds before the broker refuses more (publishers then wait in their outbox).
        max_bytes: bytes of bodies that it holds, and each of its retry queues too, before the same.
        dead_max_bytes: bytes of dead letters that are kept.
        untrusted: whether anybody with one device can fill it. Then the oldest dead letters give way to newer
            ones. Those of our own services must not: while they are full, what dies waits and is tried again.
        kind: ``stream`` for a broadcast that each reader reads for itself, else ``quorum``.
    """

    name: str
    keys: tuple[str, ...]
    consumer: str
    purpose: str
    exchange: str = EVENTS_EXCHANGE
    max_length: int = 1_000_000
    max_bytes: int = 1024 * MIB
    dead_max_bytes: int = 256 * MIB
    untrusted: bool = False
    kind: Literal["quorum", "stream"] = "quorum"

    @property
    def retries(self) -> tuple[tuple[str, int], ...]:
        """Names and delays in milliseconds of the retry queues, in order."""
        if self.kind == "stream":
            return ()
        return tuple((retry_queue(self.name, delay), delay * 1000) for delay in RETRY_DELAYS_S)

    @property
    def dead_overflow(self) -> Literal["drop-head", "reject-publish"]:
        """What the broker does when the dead letters are full."""
        return "drop-head" if self.untrusted else "reject-publish"

    @property
    def limits(self) -> dict[str, int]:
        """Bytes that each of its queues may hold, by name."""
        found = {self.name: self.max_bytes} | {name: self.max_bytes for name, _ in self.retries}
        return found | ({self.dead: self.dead_max_bytes} if self.dead else {})

    @property
    def dead(self) -> str | None:
        """The dead-letter queue's name; a stream has none."""
        return None if self.kind == "stream" else dead_queue(self.name)


@dataclass(frozen=True)
class Service:
    """What one service may do at the broker.

    Attributes:
        operates: it reads every dead-letter queue, sends letters back to every main queue, and sees the
            state of all queues in the management API; it never touches a living message.
    """

    name: str
    publishes: tuple[str, ...] = ()
    operates: bool = False


@dataclass(frozen=True)
class Plan:
    """Everything the broker holds."""

    exchanges: tuple[Exchange, ...]
    queues: tuple[Queue, ...]
    services: tuple[Service, ...]

    def queue(self, name: str) -> Queue:
        """Find a main queue. Raises ``KeyError`` with the known names."""
        for queue in self.queues:
            if queue.name == name:
                return queue
        raise KeyError(f"no queue {name!r} in the plan; there are {[q.name for q in self.queues]}")

    def consumed_by(self, service: str) -> tuple[Queue, ...]:
        """The queues that a service reads."""
        return tuple(queue for queue in self.queues if queue.consumer == service)


def retry_queue(queue: str, delay_s: int) -> str:
    """Name the queue where a failed message waits ``delay_s`` seconds."""
    return f"{queue}.retry.{delay_s}s"


def dead_queue(queue: str) -> str:
    """Name the queue where dead letters of ``queue`` wait for a person."""
    return f"{queue}.dlq"


PLAN = Plan(
    exchanges=(
        Exchange(EVENTS_EXCHANGE, "every event, by its dotted type"),
        Exchange(RETRY_EXCHANGE, "failed messages on their way into a retry queue"),
        Exchange(REQUEUE_EXCHANGE, "messages whose wait is over, back to their own queue"),
        Exchange(DEAD_EXCHANGE, "dead letters"),
        Exchange(TELEMETRY_EXCHANGE, "equipment samples that arrive by MQTT"),
        Exchange(ALIVE_EXCHANGE, "nothing: to repeat its binding tells whether a node is cut off"),
    ),
    queues=(
        Queue("task.submitted", ("task.submitted",), "ai-consumer", "photos to read"),
        Queue("task.read", ("task.read",), "helper", "readings on their way back to the task"),
        Queue("task.confirmed", ("task.confirmed",), "mlops", "examples to learn from"),
        Queue("equipment.fault", ("equipment.fault",), "notification", "faults to push within seconds"),
        Queue("preference.created", ("preference.created",), "notification", "matches to tell customers of"),
        Queue(
            "telemetry.reported",
            ("telemetry.*",),
            "monitoring",
            "equipment samples by MQTT",
            exchange=TELEMETRY_EXCHANGE,
            max_length=100_000,
            max_bytes=256 * MIB,
            dead_max_bytes=64 * MIB,
            untrusted=True,
        ),
        Queue(
            "model.promoted",
            ("model.promoted",),
            "ai-consumer",
            "new champions",
            max_bytes=64 * MIB,
            kind="stream",
        ),
    ),
    services=(
        Service("helper", publishes=("task.submitted", "task.confirmed")),
        Service("ai-consumer", publishes=("task.read",)),
        Service("mlops", publishes=("model.promoted",)),
        Service("monitoring", publishes=("equipment.fault",)),
        Service("search", publishes=("preference.created",)),
        Service("notification"),
        Service("operations", operates=True),
    ),
)
