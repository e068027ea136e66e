"""The roles of worker processes.

``python -m laundry_lab.bench.roles`` reads its order from standard input, and ends when that does: it cannot
outlive who started it.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import uvloop
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from laundry_events import EventConsumer, EventMeta, Publisher, Received, Relay, claim_once, make_broker
from laundry_events.envelope import OutgoingEvent
from laundry_events.events import PreferenceCreated
from laundry_events.topology import PLAN
from laundry_lab.bench import bare_clients, reports, synchronous
from laundry_lab.bench.taken import Taken
from laundry_lab.bench.timed_event import timed_event
from laundry_lab.bench.workers import LINE_BYTES
from laundry_lab.load import generator
from laundry_service.garbage import look_seldom
from laundry_service.telemetry.logging import configure_logging

QUEUE = "preference.created"
SERVICE = "notification"


def say(what: str, **more: Any) -> None:
    """Tell the measuring process."""
    for line in reports.lines(what, more):
        sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class TellingPublisher(Publisher):
    """Records when each event was confirmed, or never confirms."""

    def __init__(self, url: str, *, hold: bool) -> None:
        super().__init__(url, source="bench")
        self.confirmed: list[tuple[str, int]] = []
        self._hold = hold

    async def send_event(self, outgoing: OutgoingEvent) -> None:
        """Publish and record, or report the call and never return."""
        if self._hold:
            say("claimed")
            await asyncio.Event().wait()
        await super().send_event(outgoing)
        self.confirmed.append((outgoing.id, time.monotonic_ns()))


async def relay(order: dict[str, Any], end: asyncio.Event) -> dict[str, Any]:
    """Relay an outbox as a service does."""
    publisher = TellingPublisher(order["amqp_url"], hold=order.get("hold", False))
    await publisher.start()
    if order.get("connected", True):
        await publisher.wait_connected()
    parts = Relay(order["database_url"], publisher)
    await parts.start()
    say("ready")
    await end.wait()
    await parts.stop(grace_s=1)
    await publisher.stop()
    return {"confirmed": publisher.confirmed}


async def publish(order: dict[str, Any], end: asyncio.Event) -> dict[str, Any]:
    """Publish at a steady rate or in bursts; an event that is late delays none that follow, and says when it
    was due.
    """
    publisher = Publisher(order["amqp_url"], source="bench")
    await publisher.wait_connected()
    say("ready")
    running: set[asyncio.Task[str]] = set()
    failed = 0
    confirmed: list[float] = []

    def done(task: "asyncio.Task[str]") -> None:
        nonlocal failed
        running.discard(task)
        if task.cancelled() or task.exception() is not None:
            failed += 1
        else:
            confirmed.append(time.monotonic() - began)

    began = time.monotonic()
    burst, every_s = order.get("burst", 0), order.get("every_s", 0.0)
    for number in range(order["number"]):
        if end.is_set():
            break
        due = began
        if burst:
            due += number // burst * every_s
        if order["rate"]:
            due += number / order["rate"]
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        if not order["rate"] and len(running) >= 256:
            # As fast as it goes: nothing is due but what has room.
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            due = time.monotonic()
        task = asyncio.create_task(publisher.publish(timed_event(order["bytes"], round(due * 1e9))))
        running.add(task)
        task.add_done_callback(done)
    while running:
        await asyncio.wait(running)
    seconds = time.monotonic() - began
    say("published", failed=failed, seconds=seconds, confirmed=confirmed if burst else [])
    await end.wait()
    await publisher.stop()
    return {}


async def consume(order: dict[str, Any], end: asyncio.Event) -> dict[str, Any]:
    """Consume as a service does: with an inbox or without, in batches, with work of some length, or failing
    always.
    """
    publisher = Publisher(order["amqp_url"], source=SERVICE)
    await publisher.wait_connected()
    broker = make_broker(order["amqp_url"], service=SERVICE, graceful_timeout_s=5)
    consumer = EventConsumer(broker, publisher, PLAN, service=SERVICE, service_version="0")
    database_url = order.get("database_url")
    engine = create_async_engine(database_url, pool_size=5) if database_url else None
    number, work_s, fail = order.get("number", 0), order.get("work_s", 0.0), order.get("fail", False)
    taken = Taken(number, lambda: say("all"))

    @asynccontextmanager
    async def transaction() -> AsyncIterator[AsyncConnection]:
        assert engine is not None
        first = len(taken.seen)
        async with engine.begin() as connection:
            yield connection
        # One batch is in hand at a time.
        taken.finish(range(first, len(taken.seen)))

    async def take_together(
        connection: AsyncConnection, messages: Sequence[Received[PreferenceCreated]]
    ) -> None:
        for found, meta in messages:
            taken.begin(found, meta)

    async def take(found: PreferenceCreated, meta: EventMeta) -> None:
        place = taken.begin(found, meta)
        if fail:
            raise RuntimeError("asked to fail")
        if engine is not None:
            async with engine.begin() as connection:
                await claim_once(connection, "bench", meta.id)
        if work_s:
            await asyncio.sleep(work_s)
        taken.finish([place])

    if order.get("batches"):
        consumer.on_batch(
            QUEUE, PreferenceCreated, prefetch=order["prefetch"], inbox="bench", transaction=transaction
        )(take_together)
    else:
        consumer.on(QUEUE, PreferenceCreated, prefetch=order["prefetch"])(take)
    await broker.start()
    say("ready")
    await end.wait()
    await broker.stop()
    await publisher.stop()
    if engine is not None:
        await engine.dispose()
    return {"seen": taken.seen, "ended": taken.ended}


async def upload(order: dict[str, Any], end: asyncio.Event) -> dict[str, Any]:
    """Take uploads and read them before the answer."""
    await synchronous.serve(order, end, lambda: say("ready"))
    return {}


async def bare_read(order: dict[str, Any], end: asyncio.Event) -> dict[str, Any]:
    """Read photos that a queue names, through bare clients."""
    return await bare_clients.read(order, end, say)


async def bare_take(order: dict[str, Any], end: asyncio.Event) -> dict[str, Any]:
    """Store readings, through bare clients."""
    return await bare_clients.take(order, end, say)


async def load(order: dict[str, Any], end: asyncio.Event) -> dict[str, Any]:
    """Send requests on a schedule that waits for nobody."""
    return await generator.generate(order, end, say)


ROLES = {
    "load": load,
    "relay": relay,
    "publish": publish,
    "consume": consume,
    "synchronous": upload,
    "bare-read": bare_read,
    "bare-take": bare_take,
}


async def main() -> None:
    """Read the order from standard input, play the role, print what was seen."""
    # An order may hold a schedule of many thousand arrivals, in its one line.
    reader = asyncio.StreamReader(limit=LINE_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    order = json.loads(await reader.readline())
    # As a service does.
    configure_logging("bench", order.get("log_level", "CRITICAL"))
    look_seldom()
    end = asyncio.Event()

    async def wait_end() -> None:
        await reader.read()
        end.set()

    waiting = asyncio.create_task(wait_end())
    found = await ROLES[order["role"]](order, end)
    say("seen", **found)
    await waiting


if __name__ == "__main__":
    # The loop that the services run on.
    uvloop.run(main())
