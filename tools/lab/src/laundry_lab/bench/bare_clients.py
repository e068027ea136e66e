"""The minimum cost of reading behind a broker and a database: the bare loop with bare clients.

A queue tells each reader what to read (aiormq), and one process stores the results (aiormq, asyncpg): quorum
queues, persistent, confirmed, acknowledged, one statement for each reading. No framework, no event contract,
no retry, no inbox, no trace, no metrics. A reader handles one photo at a time: with both cores busy there
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

from laundry_events.frames import PERSISTENT
from laundry_events.plan import EVENTS_EXCHANGE
from laundry_lab.bench import bare_reading
from laundry_lab.bench.pictures import Pictures
from laundry_lab.bench.scratch import Scratch, scratch_space
from laundry_lab.bench.stage import NotMeasured, Stage, suspended
from laundry_lab.bench.workers import Worker, worker

TASKS, READINGS = "task.submitted", "task.read"
# Prefetch of a replica and of the helper.
READER_PREFETCH, TAKER_PREFETCH = 8, 50
DEADLINE_S = 120.0

TABLE = "CREATE TABLE taken (task text PRIMARY KEY, reading jsonb NOT NULL)"
TAKE = "INSERT INTO taken VALUES ($1, $2) ON CONFLICT DO NOTHING"

Handle = Callable[[bytes], Awaitable[None]]
Say = Callable[..., None]


async def measure(stage: Stage, pictures: Pictures, readers: int, photos: int) -> float:
    """Return readings per second, starting from a full queue.

    Raises:
        NotMeasured: a separate virtual host or database could not be created.
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
        scratch_space(stage) as scratch,
        AsyncExitStack() as running,
    ):
        await _make_table(scratch)
        order = {"amqp_url": scratch.amqp_url, "store": dict(store), "keys": keys}
        reading: list[Worker] = [
            await running.enter_async_context(worker("bare-read", **order)) for _ in range(readers)
        ]
        taker = await running.enter_async_context(
            worker("bare-take", amqp_url=scratch.amqp_url, database_url=scratch.database_url, number=number)
        )
        async with suspended([one.pid for one in reading]):
            await _fill(scratch, keys, number)
            began = time.time()
        last = (await taker.hear("all", within_s=stage.patience_s(DEADLINE_S)))["last"]
    advance(1)
    return float(number / (last - began))


async def read(order: dict[str, Any], end: asyncio.Event, say: Say) -> dict[str, Any]:
    """Read the photos that the queue names, as a replica of the ai-consumer does."""
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
    """Store readings as the helper does; says when the last of ``number`` was read."""
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


async def _fill(scratch: Scratch, keys: list[str], number: int) -> None:
    """Fill the queue with tasks of our usual size."""
    connection = await aiormq.connect(scratch.amqp_url)
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


async def _make_table(scratch: Scratch) -> None:
    connection = await asyncpg.connect(scratch.database_url, timeout=10)
    try:
        await connection.execute(TABLE)
    finally:
        await connection.close()
