"""The least that reading behind a broker and a database costs: the bare loop with bare clients.

A queue tells each reader what to read (aiormq), and one taker stores what it hears (aiormq, asyncpg): quorum
queues, persistent, confirmed, acknowledged, one statement for each reading. No framework, no event contract,
no retry, no inbox, no trace, no metrics. A reader does one photo after the other: with both cores full there
is nothing to gain by fetching ahead.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any

import aiormq
import asyncpg
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from laundry_events.publisher import PERSISTENT
from laundry_events.topology import EVENTS_EXCHANGE
from laundry_lab.bench import bare_reading
from laundry_lab.bench.ground import Ground, own_ground
from laundry_lab.bench.hands import Hand, hand
from laundry_lab.bench.pictures import Pictures
from laundry_lab.bench.stage import NotMeasured, Stage, held_still

TASKS, READINGS = "task.submitted", "task.read"
# What a replica and the helper take ahead.
READER_PREFETCH, TAKER_PREFETCH = 8, 50
DEADLINE_S = 120.0

TABLE = "CREATE TABLE taken (task text PRIMARY KEY, reading jsonb NOT NULL)"
TAKE = "INSERT INTO taken VALUES ($1, $2) ON CONFLICT DO NOTHING"

Handle = Callable[[bytes], Awaitable[None]]
Say = Callable[..., None]


async def measure(stage: Stage, pictures: Pictures, readers: int, photos: int) -> float:
    """Return the readings a second, from a queue that is full at the beginning.

    Raises:
        NotMeasured: no virtual host or no database of its own could be made or used.
    """
    try:
        return await _measure(stage, pictures, readers, photos)
    except (asyncpg.PostgresError, aiormq.exceptions.AMQPError) as error:
        raise NotMeasured(f"bare clients: {type(error).__name__}: {error}") from error


async def _measure(stage: Stage, pictures: Pictures, readers: int, photos: int) -> float:
    number = stage.many(photos, least=30)
    advance = stage.say(f"bare clients, {pictures.kind.name}", 1)
    store = stage.document["s3"]
    async with (
        bare_reading.stored(store, pictures) as keys,
        own_ground(stage) as ground,
        AsyncExitStack() as hands,
    ):
        await _make_table(ground)
        order = {"amqp_url": ground.amqp_url, "store": dict(store), "keys": keys}
        reading: list[Hand] = [
            await hands.enter_async_context(hand("bare-read", **order)) for _ in range(readers)
        ]
        taker = await hands.enter_async_context(
            hand("bare-take", amqp_url=ground.amqp_url, database_url=ground.database_url, number=number)
        )
        async with held_still([one.pid for one in reading]):
            await _fill(ground, keys, number)
        began = time.time()
        last = (await taker.hear("all", within_s=DEADLINE_S))["last"]
    advance(1)
    return float(number / (last - began))


async def read(order: dict[str, Any], end: asyncio.Event, say: Say) -> dict[str, Any]:
    """Read what the queue names: a replica's part."""
    model, loop = bare_reading.model_file(), asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as worker:
        await loop.run_in_executor(worker, bare_reading.read, model, order["store"], order["keys"])
        connection = await aiormq.connect(order["amqp_url"])
        publishing = await connection.channel(publisher_confirms=True, on_return_raises=True)

        async def handle(body: bytes) -> None:
            task = json.loads(body)
            used = await loop.run_in_executor(
                worker, bare_reading.read, model, order["store"], [task["photo"]["key"]]
            )
            told = {**task, "read_at": time.time(), "reading": used}
            await _publish(publishing, READINGS, json.dumps(told).encode())

        await _consume(connection, TASKS, handle, prefetch=READER_PREFETCH)
        say("ready")
        await end.wait()
        await connection.close()
    return {}


async def take(order: dict[str, Any], end: asyncio.Event, say: Say) -> dict[str, Any]:
    """Store what was read: the helper's part. Says when the last of ``number`` was read."""
    number, times = order["number"], dict[str, float]()
    async with asyncpg.create_pool(order["database_url"], min_size=5, max_size=5) as pool:
        connection = await aiormq.connect(order["amqp_url"])

        async def handle(body: bytes) -> None:
            found = json.loads(body)
            await pool.execute(TAKE, found["task_id"], body.decode())
            times[found["task_id"]] = found["read_at"]
            if len(times) == number:
                say("all", last=max(times.values()))

        await _consume(connection, READINGS, handle, prefetch=TAKER_PREFETCH)
        say("ready")
        await end.wait()
        await connection.close()
    return {}


async def _consume(
    connection: aiormq.abc.AbstractConnection, queue: str, handle: Handle, *, prefetch: int
) -> None:
    channel = await connection.channel()
    await channel.basic_qos(prefetch_count=prefetch)

    async def receive(message: DeliveredMessage) -> None:
        await handle(message.body)
        await channel.basic_ack(message.delivery_tag or 0)

    await channel.basic_consume(queue, receive)


async def _publish(channel: aiormq.abc.AbstractChannel, key: str, body: bytes) -> None:
    properties = Basic.Properties(content_type="application/json", delivery_mode=PERSISTENT)
    await channel.basic_publish(
        body, exchange=EVENTS_EXCHANGE, routing_key=key, properties=properties, mandatory=True, timeout=10
    )


async def _fill(ground: Ground, keys: list[str], number: int) -> None:
    """Let tasks of the size of ours wait."""
    connection = await aiormq.connect(ground.amqp_url)
    try:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        for task in range(number):
            body = {
                "task_id": f"task-{task}",
                "photo": {"key": keys[task % len(keys)], "sha256": "0" * 64},
                "remark": "x" * 300,
            }
            await _publish(channel, TASKS, json.dumps(body).encode())
    finally:
        await connection.close()


async def _make_table(ground: Ground) -> None:
    connection = await asyncpg.connect(ground.database_url, timeout=10)
    try:
        await connection.execute(TABLE)
    finally:
        await connection.close()
