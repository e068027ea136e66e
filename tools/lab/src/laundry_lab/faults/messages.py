"""Duplicates, poison, malformed messages, floods, and messages of other releases."""

import asyncio
import json
import secrets
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from laundry_events.plan import EVENTS_EXCHANGE, REQUEUE_EXCHANGE
from laundry_lab.faults.control_branch import control_branch_rings
from laundry_lab.faults.dead_letters import OWN, Letter, dead_letters
from laundry_lab.faults.world import Fault, Observation, World

WAITING = 100_000
DEAD_S = 20.0
POISON_S = 240.0
PUSH_S = 3.0
TWICE = {
    "task.submitted": 20,
    "task.read": 20,
    "task.confirmed": 5,
    "equipment.fault": 5,
    "preference.created": 2,
}
CROWDED = "task.confirmed"
OTHERS = 1000
"""So many messages of others are held back at most while a fault takes its own from between them."""
NO_MORE_S = 2.0
Headers = dict[str, Any]
Change = Callable[[dict[str, Any], Headers], None]


@asynccontextmanager
async def opened_channel(world: World) -> AsyncIterator[AbstractChannel]:
    """Open a confirming channel as the administrator."""
    async with (
        await aio_pika.connect(world.stage.document["amqp_urls"][0], timeout=10) as connection,
        connection.channel(publisher_confirms=True, on_return_raises=True) as channel,
    ):
        yield channel


async def tapped(world: World, keys: tuple[str, ...], number: int) -> list[AbstractIncomingMessage]:
    """Return copies of events that the system itself is publishing now."""
    found: list[AbstractIncomingMessage] = []
    async with opened_channel(world) as channel:
        queue = await channel.declare_queue(
            f"faults.tap.{secrets.token_hex(4)}", durable=True, arguments={"x-queue-type": "quorum"}
        )
        try:
            for key in keys:
                await queue.bind(EVENTS_EXCHANGE, key)
            async with asyncio.timeout(30), queue.iterator() as messages:
                async for message in messages:
                    await message.ack()
                    found.append(message)
                    if len(found) >= number:
                        break
        finally:
            await queue.delete(if_unused=False, if_empty=False)
    return found


async def publish(
    channel: AbstractChannel, key: str, body: bytes, headers: Mapping[str, Any], message_id: str
) -> None:
    """Publish an event as its service would."""
    exchange = await channel.get_exchange(EVENTS_EXCHANGE, ensure=False)
    message = aio_pika.Message(
        body,
        headers=dict(headers),
        message_id=message_id,
        content_type="application/json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )
    await exchange.publish(message, key, mandatory=True, timeout=10)


async def twice(world: World) -> list[Observation]:
    """Publish what the system publishes once more, and once more with a body that only the inbox can stop."""
    kinds = [tapped(world, (key,), number) for key, number in TWICE.items()]
    found = [message for kind in await asyncio.gather(*kinds) for message in kind]
    async with opened_channel(world) as channel:
        for message in found:
            key, identifier = message.routing_key or "", message.message_id or ""
            await publish(channel, key, message.body, message.headers, identifier)
            await publish(channel, key, _as_if_new(key, message.body), message.headers, identifier)
    whole = len(found) == sum(TWICE.values())
    return [Observation(f"{len(found)} messages of {len(TWICE)} kinds came three times", whole)]


def _as_if_new(key: str, body: bytes) -> bytes:
    """Change a body so that only the message id shows that it is a duplicate."""
    document = json.loads(body)
    if key in ("task.read", "task.confirmed"):
        document["task_version"] += 1000
    elif key == "equipment.fault":
        document["fault_id"] = str(uuid.uuid4())
    elif key == "preference.created":
        document["preference_id"] = str(uuid.uuid4())
    return json.dumps(document).encode()


async def set_aside(world: World, bad: Sequence[tuple[str, bytes, Headers]]) -> list[Letter] | None:
    """Publish messages that cannot be handled, and return their dead letters; None if some are not."""
    ids = [f"{OWN}{secrets.token_hex(8)}" for _ in bad]
    async with opened_channel(world) as channel:
        for identifier, (key, body, headers) in zip(ids, bad, strict=True):
            await publish(channel, key, body, headers, identifier)

    async def died() -> bool:
        dead = {each.message_id for each in await dead_letters(world.stage)}
        return set(ids) <= dead

    if not await world.eventually(died, DEAD_S, every_s=0.5):
        return None
    return [each for each in await dead_letters(world.stage) if each.message_id in ids]


async def _dies(world: World, bad: list[tuple[str, bytes, Headers]]) -> list[Observation]:
    """Each dies after one attempt, and the queue continues."""
    letters = await set_aside(world, bad)
    reasons = ", ".join(sorted({each.reason for each in letters or ()}))
    return [
        Observation(f"all {len(bad)} are dead letters: {reasons}", letters is not None),
        Observation("after one attempt each", all(each.attempts == 1 for each in letters or ())),
        Observation("the queue went on", await world.progress(10) is not None),
    ]


async def malformed(world: World) -> list[Observation]:
    """Publish what is no event, of a version that nobody knows, and larger than a message may be."""
    sample = (await tapped(world, ("task.submitted",), 1))[0]
    version = {**sample.headers, "cloudEvents_dataschema": "urn:laundry:schema:TaskSubmitted:99"}
    large = {**json.loads(sample.body), "helper_id": "x" * 70_000}
    return await _dies(
        world,
        [
            ("task.submitted", b"{not json", dict(sample.headers)),
            ("task.submitted", b"\x00\xff" * 100, {}),
            ("task.submitted", sample.body, version),
            ("task.submitted", json.dumps(large).encode(), dict(sample.headers)),
        ],
    )


async def poison(world: World) -> list[Observation]:
    """Publish a message that kills every process that takes it."""
    sample = (await tapped(world, ("task.submitted",), 1))[0]
    identifier = f"{OWN}{secrets.token_hex(8)}"
    async with opened_channel(world) as channel:
        await publish(
            channel, "task.submitted", sample.body, {**sample.headers, "x-drill": "crash"}, identifier
        )

    async def died() -> bool:
        return identifier in {each.message_id for each in await dead_letters(world.stage)}

    dead = await world.eventually(died, POISON_S, every_s=1)
    took = await world.progress(20)
    return [
        Observation("it is a dead letter by the delivery limit", dead),
        Observation("reading went on", took is not None),
    ]


async def crowd(world: World) -> list[Observation]:
    """Let 100,000 messages wait for one slow consumer: nobody else is to notice."""
    body = json.dumps({"what": "one of many"}).encode()
    async with world.load.unconfirmed(), opened_channel(world) as channel, world.stopped("mlops"):
        exchange = await channel.get_exchange(REQUEUE_EXCHANGE, ensure=False)

        async def lane(number: int) -> None:
            for _ in range(number):
                message = aio_pika.Message(
                    body,
                    message_id=f"{OWN}{secrets.token_hex(8)}",
                    delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                )
                await exchange.publish(message, CROWDED, mandatory=True, timeout=30)

        async with asyncio.TaskGroup() as lanes:
            for _ in range(100):
                lanes.create_task(lane(WAITING // 100))
        queue = await channel.declare_queue(CROWDED, passive=True)
        waiting = int(queue.declaration_result.message_count or 0)
        seconds = await control_branch_rings(world, within_s=PUSH_S)
        took = await world.progress(10)
        await take_own(world, CROWDED)
    return [
        Observation(f"{waiting:,} messages waited for one consumer", waiting >= WAITING * 0.99),
        Observation(f"an alert took {seconds or PUSH_S:.1f} s", seconds is not None),
        Observation("photos were read on", took is not None),
    ]


async def take_own(world: World, queue: str) -> int:
    """Take what a fault published from a queue, and leave there what others did; returns how many it took.

    A queue cannot be emptied for that: somebody may have confirmed a task on this stack meanwhile.
    """
    taken = 0
    # A channel of its own: what it has not acknowledged goes back when it closes.
    async with opened_channel(world) as channel:
        await channel.set_qos(OTHERS)
        found = await channel.get_queue(queue, ensure=False)
        with suppress(TimeoutError):
            async with found.iterator(timeout=NO_MORE_S) as messages:
                async for message in messages:
                    if (message.message_id or "").startswith(OWN):
                        await message.ack()
                        taken += 1
    return taken


async def _other_release(world: World, key: str, change: Change) -> list[Observation]:
    """Publish new facts as another release would tell them: taken at once, with no second effect."""
    sample = (await tapped(world, (key,), 1))[0]
    body, headers = json.loads(sample.body), dict(sample.headers)
    identifier = f"{OWN}{secrets.token_hex(8)}"
    headers["cloudEvents_id"] = identifier
    change(body, headers)
    dead_before = len(await dead_letters(world.stage))
    async with opened_channel(world) as channel:
        await publish(channel, key, json.dumps(body).encode(), headers, identifier)
    took = await world.progress(15, more=20)
    dead = len(await dead_letters(world.stage)) - dead_before
    return [
        Observation("it was taken, not given up", dead == 0),
        Observation("the queue went on", took is not None),
    ]


async def producer_first(world: World) -> list[Observation]:
    """A newer producer tells more than readers know."""

    def newer(body: dict[str, Any], headers: Headers) -> None:
        body["colour_of_the_bag"] = "blue"
        body["photo"]["taken_with"] = "phone"
        headers["cloudEvents_sequence"] = "1"

    return await _other_release(world, "task.submitted", newer)


async def consumer_first(world: World) -> list[Observation]:
    """Readers are newer: an event from before has none of the optional parts."""

    def older(body: dict[str, Any], headers: Headers) -> None:
        for optional in ("labels", "needs_review", "reason"):
            body.pop(optional, None)
        for header in ("traceparent", "cloudEvents_time", "cloudEvents_subject"):
            headers.pop(header, None)

    return await _other_release(world, "task.read", older)


FAULTS = (
    Fault("duplicates", "messages", "each has its effect once", twice),
    Fault(
        "malformed", "messages", "a dead letter at once, with its reason", malformed, soak=False, kills=True
    ),
    Fault(
        "poison",
        "messages",
        "a dead letter by the delivery limit; its neighbours live",
        poison,
        soak=False,
        kills=True,
    ),
    Fault("crowd", "messages", "100,000 wait; nobody else notices", crowd, soak=False, kills=True),
    Fault("producer-first", "messages", "unknown parts are ignored", producer_first),
    Fault("consumer-first", "messages", "missing optional parts are fine", consumer_first),
)
