"""Sends one message that is bound to fail and follows it through its retries to the dead-letter queue."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel

from laundry.demo.client import StoryFailed
from laundry_events.envelope import encode
from laundry_events.events import Photo, TaskSubmitted
from laundry_events.ids import new_id
from laundry_events.plan import EVENTS_EXCHANGE
from laundry_events.topology import PLAN

QUEUE = "task.submitted"
PATIENCE_S = 60


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What the dead letter says about its attempts."""

    queue: str
    attempts: int
    waited_s: float
    reason: str


async def run_drill(amqp_url: str, say: Callable[[str], None]) -> DeadLetter:
    """Publish a drill, tell where it waits, and read its dead letter (which stays where it is).

    Raises:
        StoryFailed: it did not arrive in the dead-letter queue within a minute.
    """
    connection = await aio_pika.connect(amqp_url, timeout=10)
    async with connection, connection.channel(on_return_raises=True) as channel:
        message_id = await _publish(channel)
        say("a message was sent to fail")
        queue = PLAN.queue(QUEUE)
        seen: set[str] = set()
        deadline = time.perf_counter() + PATIENCE_S
        while time.perf_counter() < deadline:
            for name, delay_ms in queue.retries:
                if name not in seen and await _count(channel, name):
                    seen.add(name)
                    say(f"failed; waits {delay_ms // 1000} s in {name}")
            letter = await _find(connection, str(queue.dead), message_id)
            if letter is not None:
                say(f"dead after {letter.attempts} attempts: {letter.reason}; it stays in {letter.queue}")
                return letter
            await asyncio.sleep(0.1)
    raise StoryFailed(f"the failing message is not in {queue.dead} after {PATIENCE_S} s")


async def _publish(channel: AbstractChannel) -> str:
    photo = Photo(key="drill/none.jpg", sha256="0" * 64, bytes=1, media_type="image/jpeg")
    event = TaskSubmitted(
        task_id=new_id(),
        task_version=1,
        branch_id="drill",
        helper_id="drill",
        photo=photo,
        submitted_at=datetime.now(UTC),
    )
    outgoing = encode(event, source="/drill")
    exchange = await channel.get_exchange(EVENTS_EXCHANGE, ensure=False)
    message = aio_pika.Message(
        outgoing.body,
        headers={**outgoing.headers, "x-drill": "demo"},
        message_id=outgoing.id,
        content_type="application/json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )
    await exchange.publish(message, outgoing.routing_key, timeout=10)
    return outgoing.id


async def _count(channel: AbstractChannel, queue: str) -> int:
    declared = await channel.declare_queue(queue, passive=True)
    return int(declared.declaration_result.message_count or 0)


async def _find(connection: Any, queue: str, message_id: str) -> DeadLetter | None:
    """Look through a dead-letter queue; closing the channel puts back what was looked at."""
    async with connection.channel() as channel:
        source = await channel.get_queue(queue, ensure=False)
        while (message := await source.get(fail=False, timeout=5)) is not None:
            if message.message_id == message_id:
                headers = message.headers
                first, last = (
                    datetime.fromisoformat(str(headers[f"x-{w}-failed-at"])) for w in ("first", "last")
                )
                return DeadLetter(
                    queue,
                    int(str(headers["x-attempts"])),
                    (last - first).total_seconds(),
                    f"{headers['x-error-class']}: {headers['x-error-message']}",
                )
    return None
