"""Outbox, relay and inbox on a real database and broker."""

import asyncio
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa
from opentelemetry import context, propagate
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from laundry_events import Outbox, Publisher, Relay, claim_once, outbox_rows
from laundry_events.dsn import plain_dsn
from laundry_events.envelope import encode
from laundry_events.events import TaskRead
from laundry_events.inbox import (
    claim_each_once,
    claim_parameters,
    claim_with,
    delete_expired,
    unclaimed,
)
from laundry_events.outbox import add_parameters, add_with
from laundry_events.relay import WAITING
from laundry_events.tables import inbox, outbox
from laundry_testing.events import reading
from laundry_testing.messaging import Messaging, eventually

from .outbox_helpers import fill_queue, is_empty, store, waiting

pytestmark = pytest.mark.servers


async def test_what_is_committed_is_published_and_leaves_the_outbox(
    engine: AsyncEngine, publisher: Publisher, messaging: Messaging, database_url: str
) -> None:
    relay = Relay(database_url, publisher, poll_s=60)
    await relay.start()
    async with engine.begin() as connection:
        event_id = await Outbox("tests").add(connection, reading("t1"))
    assert (await messaging.take("task.read")).message_id == event_id
    await eventually(lambda: is_empty(engine), what="an empty outbox")
    await relay.stop()


async def test_while_the_outbox_is_held_nothing_is_published_and_rows_are_taken(
    engine: AsyncEngine,
    publisher: Publisher,
    messaging: Messaging,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked: list[int] = []
    claim = outbox_rows.claim

    async def noted(*args: Any, **options: Any) -> list[asyncpg.Record]:
        rows = await claim(*args, **options)
        looked.append(len(rows))
        return rows

    monkeypatch.setattr(outbox_rows, "claim", noted)
    holder = await outbox_rows.connect(plain_dsn(database_url))
    assert await outbox_rows.hold(holder)
    relay = Relay(database_url, publisher, poll_s=0.05)
    await relay.start()
    await store(engine, "t1", "t2")
    before = len(looked)
    # The second look from here began when the rows were there.
    await eventually(lambda: len(looked) >= before + 2, what="that the relay has looked")
    assert not any(looked)
    assert await waiting(engine) == 2
    assert await messaging.count("task.read") == 0
    # Who holds it may die: the lock dies with the connection.
    await holder.close()
    await eventually(lambda: is_empty(engine), what="an empty outbox")
    await relay.stop()


async def test_what_is_rolled_back_is_never_published(
    engine: AsyncEngine, publisher: Publisher, messaging: Messaging, database_url: str
) -> None:
    relay = Relay(database_url, publisher)
    await relay.start()
    async with engine.connect() as connection:
        await Outbox("tests").add(connection, reading("undone"))
        await connection.rollback()
    await store(engine, "done")
    assert b"done" in (await messaging.take("task.read")).body.replace(b"undone", b"UNDONE")
    await eventually(lambda: is_empty(engine))
    assert await messaging.count("task.read") == 0
    await relay.stop()


async def test_two_relays_share_the_rows_and_publish_each_once(
    engine: AsyncEngine, publisher: Publisher, messaging: Messaging, database_url: str
) -> None:
    await store(engine, *(f"t{i}" for i in range(400)))
    relays = [Relay(database_url, publisher, batch=32) for _ in range(2)]
    await asyncio.gather(*(relay.start() for relay in relays))
    await eventually(lambda: is_empty(engine), what="an empty outbox")

    async def all_there() -> bool:
        return await messaging.count("task.read") == 400

    await eventually(all_there, what="400 messages")
    await asyncio.gather(*(relay.stop() for relay in relays))


async def test_the_outbox_waits_while_the_broker_is_away(
    engine: AsyncEngine, messaging: Messaging, database_url: str
) -> None:
    away = Publisher("amqp://nobody:nothing@127.0.0.1:9/", source="tests", timeout_s=1)
    await away.start()
    relay = Relay(database_url, away, poll_s=0.05, state_every_s=0.05)
    WAITING.set(0)
    await relay.start()
    await store(engine, "t1")
    # The gauge is the relay's own word: it ran, saw the row, and left it.
    await eventually(lambda: WAITING._value.get() == 1, what="the relay's report of a waiting row")
    assert await waiting(engine) == 1
    await relay.stop()
    await away.stop()

    back = Publisher(messaging.amqp_url, source="tests")
    await back.wait_connected()
    relay = Relay(database_url, back)
    await relay.start()
    await messaging.take("task.read")
    await eventually(lambda: is_empty(engine))
    await relay.stop()
    await back.stop()


async def test_a_row_that_nobody_takes_holds_up_no_other(
    engine: AsyncEngine, publisher: Publisher, messaging: Messaging, database_url: str
) -> None:
    await store(engine, "poison")
    async with engine.begin() as connection:
        await connection.execute(update(outbox).values(routing_key="nobody.listens"))
    await store(engine, "t1", "t2")
    relay = Relay(database_url, publisher)
    await relay.start()
    for _ in range(2):
        await messaging.take("task.read")

    async def only_the_poison_is_left() -> bool:
        async with engine.connect() as connection:
            rows = (await connection.execute(select(outbox.c.attempts, outbox.c.last_error))).all()
        return len(rows) == 1 and rows[0].attempts >= 1 and "nobody.listens" in rows[0].last_error

    await eventually(only_the_poison_is_left, what="one row deferred")
    await relay.stop()


async def test_a_full_queue_holds_up_no_other(
    engine: AsyncEngine, publisher: Publisher, messaging: Messaging, database_url: str
) -> None:
    await fill_queue(messaging, publisher, "task.confirmed")
    await store(engine, *(f"stuck-{i}" for i in range(5)))
    async with engine.begin() as connection:
        await connection.execute(update(outbox).values(routing_key="task.confirmed"))
    await store(engine, "t1")
    relay = Relay(database_url, publisher, batch=5)
    await relay.start()
    assert b"t1" in (await messaging.take("task.read")).body

    async def only_the_stuck_are_left() -> bool:
        return await waiting(engine) == 5

    # A row is removed after the broker confirmed it, so the message can be here before the row is gone.
    await eventually(only_the_stuck_are_left, what="the published row removed and the stuck ones kept")
    await relay.stop()


async def test_the_trace_of_the_request_travels_through_the_outbox(
    engine: AsyncEngine, publisher: Publisher, messaging: Messaging, database_url: str
) -> None:
    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    token = context.attach(propagate.extract({"traceparent": traceparent}))
    await store(engine, "t1")
    context.detach(token)
    relay = Relay(database_url, publisher)
    await relay.start()
    sent = str((await messaging.take("task.read")).headers["traceparent"])
    assert sent.split("-")[1] == traceparent.split("-")[1]
    await relay.stop()


async def test_a_message_has_its_effect_once_per_consumer(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        assert await claim_once(connection, "helper", "m1")
        assert not await claim_once(connection, "helper", "m1")
        assert await claim_once(connection, "mlops", "m1")


async def test_many_messages_are_noted_at_once_and_each_has_its_effect_once(engine: AsyncEngine) -> None:
    async def deliver(*ids: str) -> set[str]:
        async with engine.begin() as connection:
            return await claim_each_once(connection, "helper", ids)

    assert await deliver() == set()
    assert await deliver("m1", "m2", "m1") == {"m1", "m2"}
    both = await asyncio.gather(deliver("m2", "m3", "m4"), deliver("m4", "m3", "m5"))
    assert both[0] | both[1] == {"m3", "m4", "m5"}
    assert not both[0] & both[1]


async def test_of_two_racing_deliveries_one_has_the_effect(engine: AsyncEngine) -> None:
    async def deliver() -> bool:
        async with engine.begin() as connection:
            return await claim_once(connection, "helper", "m1")

    assert sorted(await asyncio.gather(*(deliver() for _ in range(8)))) == [False] * 7 + [True]


async def test_an_effect_that_is_rolled_back_leaves_no_note(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        assert await claim_once(connection, "helper", "m1")
        await connection.rollback()
    async with engine.begin() as connection:
        assert await claim_once(connection, "helper", "m1")


async def test_notes_are_forgotten_after_any_dead_letter_is_gone(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await claim_once(connection, "helper", "old")
        await claim_once(connection, "helper", "young")
        old = text("UPDATE inbox SET received_at = now() - interval '15 days' WHERE message_id = 'old'")
        await connection.execute(old)
        assert await delete_expired(connection) == 1
        assert (await connection.execute(select(inbox.c.message_id))).scalars().all() == ["young"]


def statement() -> sa.Select[tuple[str]]:
    """Release a thing, note the message and tell of it: all or nothing, in one round trip."""
    things = sa.table("things", sa.column("name", sa.Text), sa.column("held", sa.Boolean))
    released = (
        sa.update(things)
        .where(things.c.name == sa.bindparam("thing"), things.c.held, unclaimed())
        .values(held=False)
        .returning(things.c.name)
        .cte("released")
    )
    return sa.select(released.c.name).add_cte(claim_with(released)).add_cte(add_with(released))


async def test_one_statement_has_an_effect_notes_its_message_and_tells_of_it(engine: AsyncEngine) -> None:
    async def run(thing: str, message_id: str) -> bool:
        told = encode(reading(thing), source="/tests")
        parameters = {"thing": thing, **claim_parameters("helper", message_id), **add_parameters(told)}
        async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            return (await connection.execute(statement(), parameters)).first() is not None

    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE things (name text, held boolean)"))
        await connection.execute(text("INSERT INTO things VALUES ('a', true), ('b', true)"))
    assert await run("a", "m1")
    assert not await run("b", "m1"), "this message had its effect"
    assert not await run("a", "m2"), "nothing to do: the message is not noted, and nothing is told"
    assert await run("b", "m2")
    async with engine.connect() as connection:
        rows = await connection.execute(select(outbox.c.routing_key, outbox.c.body).order_by(outbox.c.id))
        assert [TaskRead.model_validate_json(body).task_id for _, body in rows] == ["a", "b"]
        noted = await connection.execute(select(inbox.c.message_id).order_by(inbox.c.message_id))
        assert noted.scalars().all() == ["m1", "m2"]
