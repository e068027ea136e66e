"""What a broker holds, as types: exchanges, queues with their retries, and who may publish and consume.

Declarations, policies, users and permissions (``definitions``), subscriptions (``consumer``) and the AsyncAPI
document follow from one ``Plan``. The laundry's own is in ``topology``.
"""

from dataclasses import dataclass, replace
from typing import Literal

EVENTS_EXCHANGE = "laundry.events"
RETRY_EXCHANGE = "laundry.retry"
REQUEUE_EXCHANGE = "laundry.requeue"
DEAD_EXCHANGE = "laundry.dead"
ALIVE_EXCHANGE = "laundry.alive"
ALIVE_KEY = "alive"
REQUESTS_EXCHANGE = "laundry.requests"
REPLIES_EXCHANGE = "laundry.replies"

DEFAULT_RETRY_DELAYS_S = (1, 2, 4)
DEFER_AT_MOST_S = 4
DELIVERY_LIMIT = 20
DEAD_LETTER_TTL_MS = 7 * 24 * 3600 * 1000
STREAM_MAX_AGE = "7D"
MIB = 1024 * 1024
STREAM_SEGMENT_BYTES = 16 * MIB
REQUEST_TTL_MS = 2000


@dataclass(frozen=True)
class Exchange:
    """A durable topic exchange."""

    name: str
    purpose: str


CORE_EXCHANGES = (
    Exchange(EVENTS_EXCHANGE, "every event, by its dotted type"),
    Exchange(RETRY_EXCHANGE, "failed messages on their way into a retry queue"),
    Exchange(REQUEUE_EXCHANGE, "messages whose wait is over, back to their own queue"),
    Exchange(DEAD_EXCHANGE, "dead letters"),
    Exchange(ALIVE_EXCHANGE, "nothing: to repeat its binding tells whether a node is cut off"),
)
"""What publishing, retries and dead letters go through."""


@dataclass(frozen=True)
class Queue:
    """A main queue; its retry and dead-letter queues follow from it.

    Attributes:
        keys: routing keys bound on ``exchange``.
        every: it takes a copy of every event that a service of the plan publishes; ``keys`` follow from them.
            That a message reached it tells nothing about those whom the event is for.
        max_length: messages it holds before the broker refuses more (publishers then wait in their outbox).
        max_bytes: bytes of bodies that it holds, and each of its retry queues too, before the same.
        dead_max_bytes: bytes of dead letters that are kept.
        untrusted: whether anybody with one device can fill it. Then the oldest dead letters give way to newer
            ones. Those of our own services must not: while they are full, what dies waits and is tried again.
        retry_delays_s: whole seconds that a failed message waits before each further attempt; at least one
            delay, each its own queue. After the last attempt it is a dead letter.
        kind: ``stream`` for what each reader reads for itself, else ``quorum``.
        max_age: how long a stream keeps what it holds, as RabbitMQ writes it.
        segment_bytes: how much of a stream is dropped at once; what it holds last is never dropped.

    Raises:
        ValueError: the delays are none, not above 0, or name one twice.
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
    retry_delays_s: tuple[int, ...] = DEFAULT_RETRY_DELAYS_S
    kind: Literal["quorum", "stream"] = "quorum"
    max_age: str = STREAM_MAX_AGE
    segment_bytes: int = STREAM_SEGMENT_BYTES
    every: bool = False

    def __post_init__(self) -> None:
        delays = self.retry_delays_s
        if not delays or min(delays) < 1 or len(set(delays)) < len(delays):
            raise ValueError(f"{self.name}: retry delays are different whole seconds above 0, not {delays}")

    @property
    def retries(self) -> tuple[tuple[str, int], ...]:
        """Names and delays in milliseconds of the retry queues, in order."""
        if self.kind == "stream":
            return ()
        return tuple((retry_queue(self.name, delay), delay * 1000) for delay in self.retry_delays_s)

    @property
    def max_attempts(self) -> int:
        """How often a message is handled before it is a dead letter; a stream's only once."""
        return 1 + len(self.retries)

    @property
    def defer_queue(self) -> str:
        """Where a message waits that lets others come first: the longest wait of at most 4 s, if any."""
        short = [delay for delay in self.retry_delays_s if delay <= DEFER_AT_MOST_S]
        return retry_queue(self.name, max(short) if short else min(self.retry_delays_s))

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
class RequestQueue:
    """Where requests wait for whoever answers; its name is their routing key.

    A request is no event: it is worth something for seconds only. So it is dropped after them, is never tried
    again and is no dead letter. Who asked asks again, or does without. It is a quorum queue all the same: who
    answers consumes on one connection, and a queue whose only node is down would hold up the others there.

    Attributes:
        max_length: requests that may wait; a further one is refused.
    """

    name: str
    asked_by: str
    answered_by: str
    purpose: str
    max_length: int = 50
    max_bytes: int = 64 * MIB


@dataclass(frozen=True)
class Service:
    """What one service may do on the broker.

    Attributes:
        publishes: keys of the events that it publishes.
        exchanges: further exchanges to which it publishes with whatever key is bound there.
        operates: it reads every dead-letter queue, sends letters back to every main queue, and sees the
            state of all queues in the management API; it never touches a message in a main queue.
    """

    name: str
    publishes: tuple[str, ...] = ()
    exchanges: tuple[str, ...] = ()
    operates: bool = False


@dataclass(frozen=True)
class Plan:
    """Everything declared on the broker."""

    queues: tuple[Queue, ...]
    services: tuple[Service, ...]
    exchanges: tuple[Exchange, ...] = CORE_EXCHANGES
    vhost: str = "/"
    requests: tuple[RequestQueue, ...] = ()

    def __post_init__(self) -> None:
        published = tuple(sorted({key for service in self.services for key in service.publishes}))
        queues = (replace(queue, keys=published) if queue.every else queue for queue in self.queues)
        object.__setattr__(self, "queues", tuple(queues))

    def queue(self, name: str) -> Queue:
        """Find a main queue. Raises ``KeyError`` with the known names."""
        for queue in self.queues:
            if queue.name == name:
                return queue
        raise KeyError(f"no queue {name!r} in the plan; there are {[q.name for q in self.queues]}")

    def around(self, service: str) -> "Plan":
        """Return the plan with only the queues that a service consumes or that its events are for.

        Raises:
            KeyError: the plan has no such service.
        """
        publishes = {each.name: each.publishes for each in self.services}[service]
        queues = (
            q
            for q in self.queues
            if q.consumer == service or not (q.every or set(q.keys).isdisjoint(publishes))
        )
        requests = (r for r in self.requests if service in (r.asked_by, r.answered_by))
        return replace(self, queues=tuple(queues), requests=tuple(requests))

    def takers(self, key: str) -> tuple[Queue, ...]:
        """The quorum queues whose consumers an event with this key is for."""
        events = (queue for queue in self.queues if queue.exchange == EVENTS_EXCHANGE and not queue.every)
        return tuple(queue for queue in events if queue.kind == "quorum" and key in queue.keys)

    def consumed_by(self, service: str) -> tuple[Queue, ...]:
        """The queues that a service reads."""
        return tuple(queue for queue in self.queues if queue.consumer == service)


def reply_queues(service: str) -> str:
    """Return how the names begin of the queues at which a service's processes wait for answers."""
    return f"{service}.replies."


def retry_queue(queue: str, delay_s: int) -> str:
    """Return the name of the queue where a failed message waits ``delay_s`` seconds."""
    return f"{queue}.retry.{delay_s}s"


def dead_queue(queue: str) -> str:
    """Return the name of the dead-letter queue of ``queue``."""
    return f"{queue}.dlq"
