"""Batches from the broker: each message is acknowledged, retried, held or dead-lettered for itself."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import pytest_asyncio
from aiormq.channel import Channel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from laundry_events import Dependency, PermanentError, Publisher, Received, batches, make_broker
from laundry_events.broker import ConsumingBroker
from laundry_events.connection import abandon
from laundry_events.events import TaskRead
from laundry_testing.events import reading
from laundry_testing.messaging import DEADLINE_S, Messaging, eventually

from .consuming import consume

QUEUE, INBOX = "task.read", "tests.task-read"
SCRIPT = Path(__file__).with_name("batching_consumer.py")


@pytest_asyncio.fixture
async def effects(engine: AsyncEngine) -> AsyncEngine:
    """A database in which effects are rows, and a second one would be seen."""
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE effects (task text)"))
    return engine


async def had(engine: AsyncEngine) -> list[str]:
    async with engine.connect() as connection:
        rows = await connection.execute(text("SELECT task FROM effects ORDER BY task"))
        return list(rows.scalars())


async def store(session: AsyncConnection, messages: Sequence[Received[TaskRead]]) -> None:
    rows = [{"task": event.task_id} for event, _ in messages]
    await session.execute(text("INSERT INTO effects VALUES (:task)"), rows)


async def waiting(messaging: Messaging, *queues: str) -> int:
    """Count the messages of some queues, in flight or not."""
    return sum([await messaging.count(queue) for queue in queues])


async def _is_taken(messaging: Messaging) -> bool:
    return await messaging.count(QUEUE) == 0


@pytest.mark.servers
async def test_of_a_batch_the_bad_ones_die_or_are_retried_and_the_others_are_done(
    effects: AsyncEngine,
    messaging: Messaging,
    broker: ConsumingBroker,
    publisher: Publisher,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batches, "WITHIN_S", 60)
    sizes: list[int] = []
    all_here = asyncio.Event()

    @consume(broker, publisher).on_batch(QUEUE, TaskRead, prefetch=50, inbox=INBOX, transaction=effects.begin)
    async def handle(session: AsyncConnection, messages: Sequence[Received[TaskRead]]) -> None:
        sizes.append(len(messages))
        if len(sizes) == 1:
            async with asyncio.timeout(DEADLINE_S):
                await all_here.wait()
        await store(session, messages)
        for event, meta in messages:
            if event.task_id == "bad":
                raise PermanentError("it never will", reason="bad")
            if event.task_id == "later" and meta.attempt == 1:
                raise RuntimeError("not yet")

    names = ["first", *(f"t{number:02}" for number in range(20)), "bad", "later"]
    for name in names:
        await publisher.publish(reading(name))
    await publisher.publish(reading("again"), event_id="twice")
    await publisher.publish(reading("again"), event_id="twice")
    await broker.start()
    # The first transaction is held until the others are here.
    await eventually(lambda: _is_taken(messaging), what="all of them in flight")
    all_here.set()
    expected = sorted({*names, "again"} - {"bad"})

    async def all_done() -> bool:
        return await had(effects) == expected

    await eventually(all_done, what="every good message's effect, once")
    assert max(sizes) > 10, "they came together"
    dead = await messaging.take(f"{QUEUE}.dlq")
    assert b'"bad"' in dead.body
    assert (dead.headers["x-dead-reason"], dead.headers["x-attempts"]) == ("bad", 1)
    await broker.stop()
    assert await waiting(messaging, QUEUE, f"{QUEUE}.dlq", f"{QUEUE}.retry.1s") == 0, "acknowledged"
    assert await had(effects) == expected


@pytest.mark.servers
async def test_a_batch_waits_for_its_server_and_loses_no_attempt(
    effects: AsyncEngine, messaging: Messaging, broker: ConsumingBroker, publisher: Publisher
) -> None:
    there, begun, attempts = False, 0, set[int]()

    async def ping() -> bool:
        return there

    @asynccontextmanager
    async def transaction() -> AsyncIterator[AsyncConnection]:
        nonlocal begun
        begun += 1
        async with effects.begin() as connection:
            yield connection
            if not there:
                raise ConnectionError("gone in the middle of it")

    server = Dependency("database", lambda error: isinstance(error, ConnectionError), ping)

    @consume(broker, publisher, server).on_batch(
        QUEUE, TaskRead, prefetch=20, inbox=INBOX, transaction=transaction
    )
    async def handle(session: AsyncConnection, messages: Sequence[Received[TaskRead]]) -> None:
        attempts.update(meta.attempt for _, meta in messages)
        await store(session, messages)

    names = [f"t{number:02}" for number in range(30)]
    for name in names:
        await publisher.publish(reading(name))
    await broker.start()
    await eventually(lambda: broker.paused_for, what="the pause")
    await asyncio.sleep(0.5)
    assert begun <= 20, "nothing spins"
    assert await had(effects) == []
    there = True

    async def all_done() -> bool:
        return await had(effects) == names

    await eventually(all_done, what="all of them")
    assert attempts == {1}
    await broker.stop()
    assert await waiting(messaging, QUEUE, f"{QUEUE}.dlq", f"{QUEUE}.retry.1s") == 0


@pytest.mark.servers
async def test_what_is_still_in_hand_is_not_acknowledged_with_what_is_done(
    effects: AsyncEngine, messaging: Messaging, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "WITHIN_S", 0.3)
    frames: list[tuple[int, bool]] = []
    send = Channel.basic_ack

    async def noted(self: Channel, delivery_tag: int, multiple: bool = False, wait: bool = True) -> None:
        await send(self, delivery_tag, multiple, wait)
        frames.append((delivery_tag, multiple))

    def acknowledged() -> set[int]:
        return {each for tag, multiple in frames for each in (range(1, tag + 1) if multiple else (tag,))}

    monkeypatch.setattr(Channel, "basic_ack", noted)
    broker = make_broker(messaging.amqp_url, service="tests", graceful_timeout_s=0.5)
    before = [f"a{number:02}" for number in range(20)]
    after = [f"b{number:02}" for number in range(20)]

    @consume(broker, publisher).on_batch(QUEUE, TaskRead, prefetch=50, inbox=INBOX, transaction=effects.begin)
    async def handle(session: AsyncConnection, messages: Sequence[Received[TaskRead]]) -> None:
        await store(session, messages)
        if any(event.task_id == "slow" for event, _ in messages):
            await asyncio.Event().wait()

    for name in [*before, "slow", *after]:
        await publisher.publish(reading(name))
    await broker.start()

    async def the_others_are() -> bool:
        return await had(effects) == [*before, *after]

    await eventually(the_others_are, what="everybody else's effect")
    done = len(before) + len(after)
    await eventually(lambda: len(acknowledged()) >= done, what="everybody else's acknowledgement")
    await broker.stop()
    assert await waiting(messaging, QUEUE) == 1
    assert (await messaging.take(QUEUE)).headers["x-delivery-count"] == 1
    slow = len(before) + 1
    assert frames
    assert not [tag for tag, multiple in frames if multiple and tag >= slow]


@pytest.mark.servers
async def test_when_the_channel_goes_between_commit_and_ack_each_has_its_effect_once(
    effects: AsyncEngine, messaging: Messaging, broker: ConsumingBroker, publisher: Publisher
) -> None:
    sizes: list[int] = []

    @asynccontextmanager
    async def transaction() -> AsyncIterator[AsyncConnection]:
        async with effects.begin() as connection:
            yield connection
        if len(sizes) == 1:
            connected = broker._connected
            assert connected is not None and connected.transport is not None
            await abandon(connected.transport.connection, "between commit and ack")

    @consume(broker, publisher).on_batch(QUEUE, TaskRead, prefetch=50, inbox=INBOX, transaction=transaction)
    async def handle(session: AsyncConnection, messages: Sequence[Received[TaskRead]]) -> None:
        sizes.append(len(messages))
        await store(session, messages)

    names = [f"t{number:02}" for number in range(40)]
    for name in names:
        await publisher.publish(reading(name))
    await broker.start()
    await eventually(lambda: sizes, what="the first batch")
    for name in ("later", "last"):
        await publisher.publish(reading(name))

    async def all_done() -> bool:
        return await had(effects) == sorted([*names, "later", "last"])

    async def all_acknowledged() -> bool:
        return await waiting(messaging, QUEUE, f"{QUEUE}.dlq", f"{QUEUE}.retry.1s") == 0

    await eventually(all_done, within_s=60, what="every effect, once")
    # What had its effect as the channel went is delivered again.
    await eventually(all_acknowledged, within_s=60, what="the end of every message")
    await broker.stop()
    assert await all_acknowledged()


@asynccontextmanager
async def killed(messaging: Messaging, database_url: str, when: str) -> AsyncIterator[asyncio.StreamReader]:
    """Run a consumer that is killed and started again; yields what tells of its deaths."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SCRIPT),
        messaging.amqp_url,
        database_url,
        when,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


@pytest.mark.servers
async def test_killed_between_commit_and_ack_each_has_its_effect_once(
    effects: AsyncEngine, messaging: Messaging, publisher: Publisher, database_url: str
) -> None:
    names = [f"t{number:02}" for number in range(20)]
    for name in names:
        await publisher.publish(reading(name))
    async with killed(messaging, database_url, "commit") as deaths:
        async with asyncio.timeout(60):
            await deaths.readuntil(b"died\n")
        committed = await had(effects)
        assert committed, "it died after a commit"

        await publisher.publish(reading("the last"))
        # It stops in order: whatever it has in flight is acknowledged, or back in the queue.
        async with asyncio.timeout(60):
            assert b"died" not in await deaths.read(), "it died once"
    assert await had(effects) == [*names, "the last"]
    assert await waiting(messaging, QUEUE, f"{QUEUE}.dlq") == 0


# Some deaths, and a new connection after each.
@pytest.mark.timeout(240)
@pytest.mark.servers
async def test_poison_in_a_batch_keeps_no_other_from_its_effect(
    effects: AsyncEngine, messaging: Messaging, publisher: Publisher, database_url: str
) -> None:
    await publisher.publish(reading("poison"))
    names = [f"t{number:02}" for number in range(9)]
    for name in names:
        await publisher.publish(reading(name))

    async def all_done() -> bool:
        return await had(effects) == names

    async with killed(messaging, database_url, "poison") as deaths:
        await eventually(all_done, within_s=180, what="every innocent one, once")
    assert (await deaths.read()).count(b"died") >= 2, "it killed them as long as they were together"
    assert await messaging.count(f"{QUEUE}.dlq") == 0
