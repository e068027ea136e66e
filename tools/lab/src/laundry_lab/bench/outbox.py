"""The outbox's relay in processes of its own: how many rows a second, how late, and when it is killed."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
import asyncpg

from laundry_events.envelope import encode
from laundry_lab.bench.figures import Figure
from laundry_lab.bench.roles import QUEUE
from laundry_lab.bench.scratch import Scratch, scratch_space
from laundry_lab.bench.stage import NotMeasured, Stage
from laundry_lab.bench.timed_event import timed_event
from laundry_lab.bench.workers import Worker, worker
from laundry_lab.report import percentile

ROWS = 10_000
IDLE_COMMITS = 300
IDLE_PAUSE_S = 0.05
KILLS = 5
BATCH = 256
DEADLINE_S = 60.0
GROUP = "Outbox relay, 1 KB rows"

STORE = """
INSERT INTO outbox (event_id, routing_key, headers, body)
SELECT $1 || '-' || number, $2, $3::jsonb, $4 FROM generate_series(1, $5::int) AS number
"""
DROP = "TRUNCATE outbox"


async def measure(stage: Stage) -> list[Figure]:
    """Measure one relay, two that share, an idle one, and one that is killed."""
    return [
        *await _rates(stage),
        *await _idle(stage),
        *await _killed_with_rows_in_hand(stage),
        *await _killed_under_load(stage),
    ]


async def _rates(stage: Stage) -> list[Figure]:
    number, within_s = stage.many(ROWS, least=1000), stage.patience_s(DEADLINE_S)
    found = []
    for relays, what in ((1, "one relay"), (2, "two relays share")):
        advance = stage.say(f"outbox: {what}", 1)
        async with scratch_space(stage) as scratch, _database(scratch) as database:
            async with _relays(scratch, relays) as running:
                used = sum(one.processor_s for one in running)
                seconds = await _drained(database, number, within_s)
                used = sum(one.processor_s for one in running) - used
            taken = await _take(scratch, within_s)
        advance(1)
        target = 2000 if relays == 1 else None
        note = f"{number} rows in one commit → the last is gone"
        found += [
            Figure(GROUP, what, number / seconds, "/s", target, at_most=False, note=note),
            Figure(GROUP, f"{what}: processor time of a row", 1e6 * used / number, "µs"),
            Figure(GROUP, f"{what}: lost", number - len(taken), "", 0),
            Figure(GROUP, f"{what}: published twice", _twice(taken), "", 0),
        ]
    return found


async def _idle(stage: Stage) -> list[Figure]:
    """Single rows: from the return of COMMIT to the broker's confirm."""
    number = stage.many(IDLE_COMMITS, least=30)
    advance = stage.say("outbox: single rows", 1)
    committed: dict[str, int] = {}
    async with (
        scratch_space(stage) as scratch,
        _database(scratch) as database,
        _relays(scratch, 1) as (relay,),
    ):
        for turn in range(-10, number):
            await store(database, 1, name=f"idle{turn}")
            if turn >= 0:
                committed[f"idle{turn}-1"] = time.monotonic_ns()
            await asyncio.sleep(IDLE_PAUSE_S)
        await until(lambda: empty(database), "an empty outbox")
        confirmed = dict((await relay.end())["confirmed"])
    advance(1)
    late = [(confirmed[identifier] - at) / 1e9 for identifier, at in committed.items()]
    note = f"{number} single rows, COMMIT returned → confirm, both seen by their process"
    return [
        Figure(GROUP, "idle, commit → confirmed: p50", percentile(late, 0.5) * 1000, "ms", 10, note=note),
        Figure(GROUP, "idle, commit → confirmed: p99", percentile(late, 0.99) * 1000, "ms", 20),
    ]


async def _killed_with_rows_in_hand(stage: Stage) -> list[Figure]:
    """A relay that holds a batch, unconfirmed, is killed while another has nothing to do."""
    kills = stage.many(KILLS, least=2)
    advance = stage.say("outbox: relays killed in the middle of a batch", kills)
    taken_over: list[float] = []
    restarted: list[float] = []
    for turn in range(kills):
        async with scratch_space(stage) as scratch, _database(scratch) as database:
            for another in (True, False):
                await database.execute(DROP)
                async with worker("relay", hold=True, **_order(scratch)) as holder:
                    await store(database, BATCH, name=f"held{turn}")
                    await holder.hear("claimed")
                    if another:
                        async with worker("relay", **_order(scratch)):
                            taken_over.append(await _after_kill(holder, database))
                    else:
                        restarted.append(await _restarted(holder, scratch, database))
        advance(1)
    note = f"kill -9 → its {BATCH} rows published and gone, slowest of {kills}"
    return [
        Figure(GROUP, "killed, another goes on", max(taken_over), "s", 2, note=note),
        Figure(
            GROUP,
            "killed, its restart goes on",
            max(restarted),
            "s",
            note="with the start of the new process",
        ),
    ]


async def _after_kill(holder: Worker, database: "asyncpg.Connection[Any]") -> float:
    began = time.perf_counter()
    await holder.kill()
    await until(lambda: empty(database), "the killed relay's rows published")
    return time.perf_counter() - began


async def _restarted(holder: Worker, scratch: Scratch, database: "asyncpg.Connection[Any]") -> float:
    began = time.perf_counter()
    await holder.kill()
    async with worker("relay", **_order(scratch)):
        await until(lambda: empty(database), "the killed relay's rows published")
        return time.perf_counter() - began


async def _killed_under_load(stage: Stage) -> list[Figure]:
    """Two relays share; one is killed when half is done."""
    number, within_s = stage.many(ROWS, least=1000), stage.patience_s(DEADLINE_S)
    advance = stage.say("outbox: a relay killed under load", 1)
    async with scratch_space(stage) as scratch, _database(scratch) as database:
        async with _relays(scratch, 2) as running:
            await store(database, number)
            await until(lambda: fewer(database, number // 2), "half of the rows published", within_s)
            await running[0].kill()
            await until(lambda: empty(database), "all rows published", within_s)
        taken = await _take(scratch, within_s)
    advance(1)
    return [
        Figure(GROUP, "killed under load: lost", number - len(taken), "", 0, note=f"of {number} rows"),
        Figure(
            GROUP,
            "killed under load: published twice",
            _twice(taken),
            "",
            BATCH,
            note="at most the batch that it was publishing; the inbox makes it one effect",
        ),
    ]


@asynccontextmanager
async def _database(scratch: Scratch) -> "AsyncIterator[asyncpg.Connection[Any]]":
    connection = await asyncpg.connect(scratch.database_url, timeout=10, command_timeout=60)
    try:
        yield connection
    finally:
        await connection.close(timeout=5)


def _order(scratch: Scratch) -> dict[str, str]:
    return {"amqp_url": scratch.amqp_url, "database_url": scratch.database_url}


@asynccontextmanager
async def _relays(scratch: Scratch, number: int) -> AsyncIterator[list[Worker]]:
    if number == 0:
        yield []
        return
    async with worker("relay", **_order(scratch)) as one, _relays(scratch, number - 1) as others:
        yield [one, *others]


async def store(database: "asyncpg.Connection[Any]", number: int, *, name: str = "row") -> None:
    """Store rows in one commit. Their ids are ``name-1`` and so on."""
    outgoing = encode(timed_event(1024, time.monotonic_ns()), source="/bench", event_id=name)
    headers = json.dumps(outgoing.headers)
    await database.execute(STORE, name, outgoing.routing_key, headers, outgoing.body, number)


async def _drained(database: "asyncpg.Connection[Any]", number: int, within_s: float) -> float:
    await store(database, number)
    began = time.perf_counter()
    await until(lambda: empty(database), "all rows published", within_s)
    return time.perf_counter() - began


async def empty(database: "asyncpg.Connection[Any]") -> bool:
    """Whether no row is left."""
    return not await database.fetchval("SELECT EXISTS (SELECT FROM outbox)")


async def fewer(database: "asyncpg.Connection[Any]", number: int) -> bool:
    """Whether fewer than ``number`` rows are left."""
    return bool(await database.fetchval("SELECT count(*) < $1 FROM outbox", number))


async def until(condition: Callable[[], Awaitable[bool]], what: str, within_s: float = DEADLINE_S) -> None:
    """Ask until the answer is yes. Raises NotMeasured."""
    try:
        async with asyncio.timeout(within_s):
            while not await condition():  # noqa: ASYNC110 - a database is asked, which sets no event here
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise NotMeasured(f"outbox: not {what} within {within_s:.0f} s") from None


async def _take(scratch: Scratch, within_s: float) -> Counter[str]:
    """Take everything off the queue; how often each id was there."""
    found: Counter[str] = Counter()
    connection = await aio_pika.connect(scratch.amqp_url, timeout=10)
    async with connection:
        channel = await connection.channel()
        queue = await channel.get_queue(QUEUE, ensure=False)
        try:
            async with asyncio.timeout(within_s), queue.iterator(no_ack=True, timeout=2) as messages:
                async for message in messages:
                    found[str(message.message_id)] += 1
        except TimeoutError:
            pass  # nothing more came
    return found


def _twice(taken: Counter[str]) -> int:
    return sum(times - 1 for times in taken.values())
