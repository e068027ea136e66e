"""What the relay does with rows that nobody takes, brokers that are away, and relays that die."""

import asyncio
import json
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, func, inspect, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from laundry_events import Publisher, Relay, outbox_rows, relay
from laundry_events.dsn import plain_dsn
from laundry_events.envelope import MAX_MESSAGE_BYTES, OutgoingEvent
from laundry_events.outbox_rows import UnpublishableRow
from laundry_events.plan import EVENTS_EXCHANGE
from laundry_events.relay import WAITING
from laundry_events.tables import improve_outbox, outbox
from laundry_testing.logs import logged_by
from laundry_testing.messaging import Messaging, eventually

from .outbox_helpers import fill_queue, is_empty, limit_queue, store, store_raw, waiting

UNPUBLISHABLE: dict[str, dict[str, Any]] = {
    "no object": {"headers": ["a", "list"]},
    "null": {"headers": None},
    "nested": {"headers": {"a": {"b": None}}},
    "number": {"headers": {"a": 10**40}},
    "long key": {"routing_key": "k" * 256},
    "long id": {"event_id": "i" * 256},
    "long header": {"headers": {"h" * 256: "x"}},
    "too large": {"body": bytes(MAX_MESSAGE_BYTES + 1)},
}


@pytest.mark.servers
async def test_rows_that_no_broker_can_be_given_hold_up_no_other(
    engine: AsyncEngine, publisher: Publisher, messaging: Messaging, database_url: str
) -> None:
    for values in UNPUBLISHABLE.values():
        await store_raw(engine, **values)
    await store(engine, "t1", "t2")
    relay = Relay(database_url, publisher)
    await relay.start()
    for _ in range(2):
        assert json.loads((await messaging.take("task.read")).body)["task_id"] in ("t1", "t2")

    async def told() -> bool:
        async with engine.connect() as connection:
            errors = (await connection.execute(select(outbox.c.last_error))).scalars().all()
        return len(errors) == len(UNPUBLISHABLE) and all(errors)

    await eventually(told, what="each poisonous row kept with its reason")
    assert await messaging.count("task.read") == 0
    await relay.stop()


class SlowPublisher(Publisher):
    """Confirms each key after a time of its own; a key without one is never confirmed."""

    def __init__(self, confirms_s: dict[str, float]) -> None:
        super().__init__("amqp://nobody@127.0.0.1:9/", source="tests")
        self.confirms_s = confirms_s
        self.sent: Counter[str] = Counter()

    @property
    def connected(self) -> bool:
        return True

    async def can_publish(self) -> bool:
        return True

    async def send_event(self, outgoing: OutgoingEvent) -> None:
        self.sent[outgoing.routing_key] += 1
        await asyncio.sleep(self.confirms_s.get(outgoing.routing_key, 60))


@pytest.mark.servers
async def test_a_broker_that_confirms_slowly_puts_no_key_apart(
    engine: AsyncEngine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "STRAGGLERS_S", 0.5)
    slow = SlowPublisher({"first": 1.0, "last": 2.5})
    for key in slow.confirms_s:
        await store_raw(engine, 3, routing_key=key)
    relaying = Relay(database_url, slow)
    await relaying.start()
    await eventually(lambda: is_empty(engine), what="an empty outbox")
    assert slow.sent == {"first": 3, "last": 3}, "each row is published once"
    await relaying.stop()


@pytest.mark.servers
async def test_a_key_that_is_never_confirmed_holds_up_no_other_for_long(
    engine: AsyncEngine, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "STRAGGLERS_S", 0.2)
    silent = SlowPublisher({"quick": 0.01})
    await store_raw(engine, 3, routing_key="silent")
    await store_raw(engine, 3, routing_key="quick")
    relaying = Relay(database_url, silent)
    await relaying.start()

    async def only_the_silent_are_left() -> bool:
        return await waiting(engine) == 3

    await eventually(only_the_silent_are_left, what="the quick ones relayed")
    assert silent.sent["quick"] == 3
    await relaying.stop(grace_s=0.1)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(
    headers=json_values.map(json.dumps) | st.text(max_size=20),
    key=st.text(max_size=300),
    body=st.integers(0, MAX_MESSAGE_BYTES + 10).map(bytes),
)
def test_a_row_is_an_event_within_the_protocols_limits_or_says_why_not(
    headers: str, key: str, body: bytes
) -> None:
    row: Any = {"headers": headers, "routing_key": key, "event_id": "e1", "body": body}
    try:
        event = outbox_rows.outgoing(row)
    except UnpublishableRow as error:
        assert str(error)
    else:
        assert event.body == body
        assert len(body) <= MAX_MESSAGE_BYTES
        assert event.headers == json.loads(headers)
        assert len(key.encode()) <= 255


async def attempts(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return int(
            (await connection.execute(select(func.coalesce(func.sum(outbox.c.attempts), 0)))).scalar_one()
        )


@pytest.mark.servers
async def test_a_full_queue_is_probed_and_not_flooded_and_drains_when_it_takes_again(
    engine: AsyncEngine, publisher: Publisher, messaging: Messaging, database_url: str
) -> None:
    await fill_queue(messaging, publisher, "task.confirmed")
    await store_raw(engine, 500, routing_key="task.confirmed")
    relay = Relay(database_url, publisher, batch=50)
    await relay.start()
    for turn in range(5):
        await store(engine, f"t{turn}")
        assert f"t{turn}".encode() in (await messaging.take("task.read")).body
    # A first batch, then one row at a time: the rest is neither tried nor written to.
    assert 1 <= await attempts(engine) < 100
    await limit_queue(messaging, "task.confirmed", None)
    async with engine.begin() as connection:
        await connection.execute(update(outbox).values(next_attempt_at=func.now()))
    await eventually(lambda: is_empty(engine), what="an empty outbox")
    await relay.stop()


class Hanging(Publisher):
    """Never hears of some events."""

    async def send_event(self, outgoing: OutgoingEvent) -> None:
        if outgoing.id == "hangs":
            await asyncio.Event().wait()
        await super().send_event(outgoing)


@pytest.mark.servers
async def test_a_row_that_is_never_confirmed_keeps_no_other_in_the_outbox(
    engine: AsyncEngine, messaging: Messaging, database_url: str
) -> None:
    publisher = Hanging(messaging.amqp_url, source="tests")
    await publisher.wait_connected()
    await store_raw(engine, event_id="hangs", routing_key="task.confirmed")
    await store(engine, "t1", "t2")
    relay = Relay(database_url, publisher)
    await relay.start()

    async def only_that_one_is_left() -> bool:
        return await waiting(engine) == 1

    await eventually(only_that_one_is_left, what="the published rows removed")
    await store(engine, "t3")
    await eventually(only_that_one_is_left, what="a later row relayed, too")
    await relay.stop(grace_s=0)
    await publisher.stop()


@pytest.mark.servers
async def test_a_row_that_closes_the_channel_does_so_alone(
    engine: AsyncEngine, messaging: Messaging, database_url: str
) -> None:
    """A key that this service may not publish: the broker answers 403 and closes the channel of all."""
    user, password, vhost = f"u-{messaging.vhost}", "for-this-test-only", messaging.vhost
    login = (messaging.broker.username, messaging.broker.password)
    grant = {"configure": "^$", "write": ".*", "read": "^$"}
    topics = {"exchange": EVENTS_EXCHANGE, "write": r"^task\.read$", "read": "^$"}
    async with httpx.AsyncClient(base_url=messaging.broker.management_url, auth=login, timeout=10) as api:
        (await api.put(f"/api/users/{user}", json={"password": password, "tags": ""})).raise_for_status()
        try:
            (await api.put(f"/api/permissions/{vhost}/{user}", json=grant)).raise_for_status()
            (await api.put(f"/api/topic-permissions/{vhost}/{user}", json=topics)).raise_for_status()
            publisher = Publisher(messaging.broker.amqp_url_for(user, password, vhost), source="tests")
            await publisher.wait_connected()
            await store_raw(engine, 3, routing_key="task.submitted")
            await store(engine, *(f"t{number}" for number in range(20)))
            relay = Relay(database_url, publisher)
            await relay.start()

            async def only_the_forbidden_are_left() -> bool:
                return await waiting(engine) == 3

            await eventually(only_the_forbidden_are_left, what="the others relayed")
            await relay.stop()
            await publisher.stop()
        finally:
            await api.delete(f"/api/users/{user}")


@pytest.mark.servers
async def test_what_a_killed_relay_held_is_published_by_another(
    engine: AsyncEngine, publisher: Publisher, messaging: Messaging, database_url: str
) -> None:
    await store(engine, *(f"t{number}" for number in range(20)))
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        str(Path(__file__).with_name("relay_process.py")),
        messaging.amqp_url,
        database_url,
        stdout=asyncio.subprocess.PIPE,
    )
    relay = Relay(database_url, publisher)
    try:
        assert child.stdout is not None
        async with asyncio.timeout(90):
            while (line := await child.stdout.readline()).strip() != b"claimed":
                assert line, "the relay ended before it claimed anything"
        await relay.start()
        await store(engine, "unlocked")
        assert b"unlocked" in (await messaging.take("task.read")).body
        assert await waiting(engine) >= 20, "the batch in the other's hand is nobody else's"
    finally:
        child.kill()
        await child.wait()
    await eventually(lambda: is_empty(engine), what="the dead relay's rows relayed")
    assert await messaging.count("task.read") == 20
    await relay.stop()


@pytest.mark.servers
async def test_an_absent_broker_is_told_of_once(engine: AsyncEngine, database_url: str) -> None:
    away = Publisher("amqp://nobody:nothing@127.0.0.1:9/", source="tests", timeout_s=1)
    relay = Relay(database_url, away, state_every_s=0)

    def tells(number: int) -> bool:
        return bool(WAITING._value.get() == number)

    with logged_by("laundry_events.relay") as lines:
        await relay.start()
        for number in range(1, 4):
            await store(engine, f"t{number}")
            await eventually(partial(tells, number), what="the relay's report")
        await relay.stop()
    assert [line["log_level"] for line in lines] == ["warning"]
    assert await waiting(engine) == 3
    assert await attempts(engine) == 0


@pytest.mark.servers
async def test_no_query_scans_or_sorts_what_waits(engine: AsyncEngine, database_url: str) -> None:
    connection = await outbox_rows.connect(plain_dsn(database_url))
    try:
        # Prepared while nothing waits, as a relay's are.
        assert await outbox_rows.claim(connection, 10) == []
        later = datetime.now(UTC) + timedelta(hours=1)
        await store_raw(engine, outbox_rows.COUNTED_EXACTLY + 5, next_attempt_at=later)
        await store(engine, "due")
        plans = [
            await connection.fetch("EXPLAIN " + outbox_rows.CLAIM.replace("$1", "10").replace("$2", "'{}'")),
            await connection.fetch(
                "EXPLAIN " + outbox_rows.CLAIM_KEY.replace("$1", "10").replace("$2", "'task.read'")
            ),
        ]
        for plan in plans:
            told = "\n".join(line[0] for line in plan)
            assert "outbox_due" in told
            assert "Seq Scan" not in told
            assert "Sort" not in told
        (row,) = await outbox_rows.claim(connection, 10)
        assert b"due" in row["body"]
        state = await outbox_rows.state(connection)
        assert state.waiting > outbox_rows.COUNTED_EXACTLY
        assert state.bytes > 0
    finally:
        await connection.close()


@pytest.mark.servers
async def test_the_oldest_first_and_what_was_deferred_in_its_turn(
    engine: AsyncEngine, database_url: str
) -> None:
    await store(engine, "a", "b", "c")
    connection = await asyncpg.connect(plain_dsn(database_url))
    try:
        ids = [row["id"] for row in await outbox_rows.claim(connection, 3)]
        await outbox_rows.defer(connection, [(ids[0], "full")])
        assert [row["id"] for row in await outbox_rows.claim(connection, 3)] == ids[1:]
        await connection.execute("UPDATE outbox SET next_attempt_at = now() WHERE attempts > 0")
        assert [row["id"] for row in await outbox_rows.claim(connection, 3)] == [*ids[1:], ids[0]]
    finally:
        await connection.close()


@pytest.mark.servers
async def test_an_older_outbox_is_brought_up_to_date_more_than_once(engine: AsyncEngine) -> None:
    def older_then_improved(connection: Connection) -> list[str | None]:
        operations: Any = Operations(MigrationContext.configure(connection))
        operations.drop_index("outbox_due", "outbox")
        for _ in range(2):
            improve_outbox(operations)
        return [index["name"] for index in inspect(connection).get_indexes("outbox")]

    async with engine.begin() as connection:
        assert await connection.run_sync(older_then_improved) == ["outbox_due"]
