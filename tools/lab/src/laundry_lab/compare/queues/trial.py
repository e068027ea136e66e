"""Four kinds of messages for four consumers: by one queue with filtering, or by a quorum queue for each.

With one queue a consumer that is given somebody else's message can only put it back, and the broker gives it
to whoever is next.
"""

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from laundry_lab.compare.approaches.accounts import percentiles
from laundry_lab.load import patterns

KINDS = ("subscription", "mnp", "change", "termination")
STOPPED = KINDS[-1]
EXCHANGE = "compare.types"
PREFETCH = 10
WORK_S = 0.005
BODY = b"x" * 1024
RATE = 60.0
BACKLOG = 400
QUIET_S = 3.0
CONNECT_S = 10


@dataclass
class Seen:
    """What consumers were given: when the work on each message ended, and how many deliveries there were.

    Attributes:
        first, last: when the first message was delivered, and when the work on the latest ended.
    """

    took: dict[str, float] = field(default_factory=dict)
    deliveries: int = 0
    first: float = 0.0
    last: float = 0.0


@dataclass(frozen=True)
class Layout:
    """How kinds are laid out on queues.

    Attributes:
        shared: whether there is one queue for all.
        back: how a consumer puts back what is not its own: ``nack``, which a quorum queue does not count, or
            ``reject``, which it does, so that a message which was put back too often is dropped.
    """

    name: str
    title: str
    shared: bool
    back: str = "nack"

    def queue(self, kind: str) -> str:
        """The queue of a kind."""
        return "compare.all" if self.shared else f"compare.{kind}"


LAYOUTS = (
    Layout("each", "a queue for each kind", shared=False),
    Layout("one", "one queue, others' messages put back (nack)", shared=True),
    Layout("one-reject", "one queue, others' messages put back (reject)", shared=True, back="reject"),
)


async def measure(address: str, layout: Layout, seconds: float) -> dict[str, float]:
    """Measure a backlog, a steady load, and a steady load while one kind's consumer is away."""
    found: dict[str, float] = {}
    for prefix, run in (
        ("backlog", _backlog(BACKLOG)),
        ("steady", patterns.steady(RATE, seconds, seed=1)),
        ("away", patterns.steady(RATE, seconds, seed=1)),
    ):
        found |= await trial(address, layout, prefix, run, without=STOPPED if prefix == "away" else None)
    return found


def _kind(number: int) -> str:
    """Return the kind of a message: drawn, since kinds in turn would fit a broker that gives in turn."""
    return random.Random(number).choice(KINDS)  # noqa: S311 - load, not secrets


def _backlog(number: int) -> list[float]:
    return [0.0] * number


async def trial(
    address: str, layout: Layout, prefix: str, due: list[float], *, without: str | None = None
) -> dict[str, float]:
    """Publish messages of drawn kinds when they are due; a ``backlog`` waits before anybody takes it.

    Args:
        without: the kind that nobody takes.

    Returns:
        figures, whose names begin with ``prefix``.
    """
    async with _declared(address, layout) as channel:
        kinds = [kind for kind in KINDS if kind != without]
        if prefix == "backlog":
            await _publish(channel, due, time.monotonic())
        async with _consuming(address, layout, kinds) as seen:
            at = time.monotonic()
            if prefix != "backlog":
                await _publish(channel, due, at)
            expected = sum(_kind(number) in kinds for number in range(len(due)))
            await _until(lambda: len(seen.took) >= expected, lambda: seen.last)
            # What waited is counted from when the first of it came: that consumers begin takes a while, too.
            since = seen.first if prefix == "backlog" else at
            return figures(prefix, seen, due, at=since, expected=expected)


def figures(prefix: str, seen: Seen, due: list[float], *, at: float, expected: int) -> dict[str, float]:
    """Return what can be said of messages that were due so long after ``at``.

    One that was not handled counts as infinitely late; if there is one, the load was not done at any rate.
    """
    missing = expected - len(seen.took)
    took = [ended - (at + due[int(name)]) for name, ended in seen.took.items()]
    rate = {} if missing else {f"{prefix}_per_s": len(seen.took) / max(seen.last - at, 1e-9)}
    return {
        **percentiles(prefix, [*took, *[math.inf] * missing]),
        **rate,
        f"{prefix}_deliveries": seen.deliveries / max(1, len(due)),
        f"{prefix}_missing": missing,
    }


async def _publish(channel: AbstractChannel, due: list[float], at: float) -> None:
    exchange = await channel.get_exchange(EXCHANGE)
    async with asyncio.TaskGroup() as sending:
        for number, offset in enumerate(due):
            await asyncio.sleep(max(0.0, at + offset - time.monotonic()))
            message = aio_pika.Message(BODY, message_id=str(number), delivery_mode=2)
            sending.create_task(exchange.publish(message, _kind(number), timeout=CONNECT_S))


async def _until(done: Callable[[], bool], last: Callable[[], float]) -> None:
    """Wait until it is done, or for ``QUIET_S`` nothing was: what is put back may go round for ever."""
    began = time.monotonic()
    while not done():
        if time.monotonic() > max(began, last()) + QUIET_S:
            return
        await asyncio.sleep(0.02)


@asynccontextmanager
async def _declared(address: str, layout: Layout) -> AsyncIterator[AbstractChannel]:
    """Make exchange and queues for the block; yields a channel that confirms."""
    connection = await aio_pika.connect(address, timeout=CONNECT_S)
    async with connection, connection.channel() as channel:
        exchange = await channel.declare_exchange(EXCHANGE, "topic", timeout=CONNECT_S)
        arguments: Mapping[str, Any] = {"x-queue-type": "quorum"}
        names = {layout.queue(kind) for kind in KINDS}
        queues = {
            name: await channel.declare_queue(name, durable=True, arguments=dict(arguments)) for name in names
        }
        for kind in KINDS:
            await queues[layout.queue(kind)].bind(exchange, kind, timeout=CONNECT_S)
        try:
            yield channel
        finally:
            for queue in queues.values():
                await queue.delete(if_unused=False, if_empty=False, timeout=CONNECT_S)
            await exchange.delete(timeout=CONNECT_S)


@asynccontextmanager
async def _consuming(address: str, layout: Layout, kinds: list[str]) -> AsyncIterator[Seen]:
    """Consume with a connection for each kind, as services of their own do."""
    seen = Seen()
    queues: dict[str, AbstractQueue] = {}
    async with AsyncExitStack() as stack:
        for kind in kinds:
            connection = await stack.enter_async_context(await aio_pika.connect(address, timeout=CONNECT_S))
            channel = await connection.channel()
            await channel.set_qos(PREFETCH)
            queues[kind] = await channel.get_queue(layout.queue(kind))
        # None of them begins before all are connected.
        for kind, queue in queues.items():
            await queue.consume(_handler(layout, kind, seen), timeout=CONNECT_S)
        yield seen


def _handler(layout: Layout, kind: str, seen: Seen) -> Callable[[AbstractIncomingMessage], Any]:
    async def handle(message: AbstractIncomingMessage) -> None:
        seen.first = seen.first or time.monotonic()
        seen.deliveries += 1
        if message.routing_key != kind:
            put_back = message.reject if layout.back == "reject" else message.nack
            await put_back(requeue=True)
            return
        await asyncio.sleep(WORK_S)
        seen.last = time.monotonic()
        seen.took.setdefault(str(message.message_id), seen.last)
        await message.ack()

    return handle
