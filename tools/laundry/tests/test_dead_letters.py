"""What an operator does with dead letters, on a real broker."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from laundry_dead_letters.actions import Bounds, Tally, exported, summarise
from laundry_dead_letters.audit import FileAudit
from laundry_dead_letters.broker import connected
from laundry_dead_letters.dead_letter import DeadLetter, OperatorAction, Selection, redriven_headers
from laundry_events import EventConsumer, EventMeta, PermanentError, Publisher, claim_once, make_broker
from laundry_events.events import TaskRead
from laundry_events.tables import create_inbox
from laundry_events.topology import PLAN
from laundry_testing.messaging import Messaging, eventually

from .burying import ACT, DEAD, FAILED, QUEUE, buried, bury, send_back, waiting


@pytest.fixture
def audit(tmp_path: Path) -> FileAudit:
    return FileAudit(tmp_path / "audit" / "dead-letters.jsonl")


def test_a_copy_has_a_fresh_budget_keeps_its_event_and_says_who_sent_it() -> None:
    headers = {**FAILED, "cloudEvents_id": "1", "traceparent": "00-a-b-01", "x-redriven": 1}
    now = datetime(2026, 5, 1, 12, tzinfo=UTC)
    assert redriven_headers(DeadLetter(QUEUE, "1", headers, b"{}"), ACT, now) == {
        "cloudEvents_id": "1",
        "traceparent": "00-a-b-01",
        "x-original-queue": QUEUE,
        "x-original-routing-key": QUEUE,
        "x-redriven": 2,
        "x-redriven-by": "tester",
        "x-redriven-at": "2026-05-01T12:00:00.000Z",
        "x-redrive-reason": "the database is back",
    }


def test_the_key_that_the_broker_noted_wins_over_one_that_a_device_claims() -> None:
    death = {
        "queue": "telemetry.reported",
        "reason": "delivery_limit",
        "routing-keys": ["telemetry.washer-1"],
    }
    headers = {"x-death": [death], "x-original-routing-key": "telemetry.boiler-9", "x-dead-reason": "claimed"}
    letter = DeadLetter("telemetry.reported", None, headers, b"")
    copy = redriven_headers(letter, ACT, datetime.now(UTC))
    assert (letter.reason, copy["x-original-routing-key"]) == ("delivery_limit", "telemetry.washer-1")
    assert "x-death" not in copy


def test_what_the_broker_buried_says_what_the_broker_knows() -> None:
    died = datetime(2026, 5, 1, 12, tzinfo=UTC)
    death = {
        "queue": "telemetry.reported",
        "reason": "delivery_limit",
        "count": 1,
        "time": died,
        "routing-keys": ["telemetry.washer-1"],
    }
    headers = {"x-death": [death], "x-delivery-count": 21, "x-attempts": 99, "x-error-message": "claimed"}
    shown = exported(DeadLetter("telemetry.reported", "m1", headers, b""))
    assert shown["error_message"] == "killed or lost its consumer 21 times"
    assert shown["attempts"] == shown["deliveries"] == 21
    assert shown["first_failed_at"] == shown["died_at"] == "2026-05-01T12:00:00.000Z"
    assert (shown["queue"], shown["original_routing_key"]) == ("telemetry.reported", "telemetry.washer-1")


def test_a_copy_fits_into_a_frame_though_the_broker_buried_it_with_a_frame_full_of_headers() -> None:
    death = {"queue": "telemetry.reported", "reason": "delivery_limit", "routing-keys": ["telemetry.w-1"]}
    headers = {"x-death": [death], "stranger": "x" * 130_000, "traceparent": "00-a-b-01"}
    copy = redriven_headers(DeadLetter("telemetry.reported", None, headers, b""), ACT, datetime.now(UTC))
    assert "stranger" not in copy
    assert (copy["traceparent"], copy["x-original-routing-key"]) == ("00-a-b-01", "telemetry.w-1")


@pytest.mark.servers
async def test_a_redriven_message_is_handled_once_and_shows_when_it_dies_again(
    messaging: Messaging, audit: FileAudit
) -> None:
    publisher = Publisher(messaging.amqp_url, source="tests")
    await publisher.wait_connected()
    service = make_broker(messaging.amqp_url, service="tests", graceful_timeout_s=2)
    consumer = EventConsumer(service, publisher, PLAN, service="tests", service_version="1")
    calls: list[EventMeta] = []

    @consumer.on(QUEUE, TaskRead, prefetch=5)
    async def handle(event: TaskRead, meta: EventMeta) -> None:
        calls.append(meta)
        if len(calls) == 1:
            raise PermanentError("still no such task", reason="unknown-task")

    await bury(messaging, "m1")
    await service.start()
    assert await send_back(messaging, audit) == 1
    await waiting(messaging, 1)
    [again] = await buried(messaging)
    assert (again.message_id, again.reason, again.redriven) == ("m1", "unknown-task", 1)
    assert again.headers["x-redriven-by"] == "tester"
    await waiting(messaging, 1)
    assert await send_back(messaging, audit) == 1
    await eventually(lambda: len(calls) == 2, what="the second redrive")
    await service.stop()
    await publisher.stop()
    assert [(meta.id, meta.attempt, meta.headers["x-redriven"]) for meta in calls] == [
        ("m1", 1, 1),
        ("m1", 1, 2),
    ]
    assert await messaging.count(DEAD) == await messaging.count(QUEUE) == 0
    assert [record["id"] for record in audit.records()] == ["m1", "m1"]


@pytest.mark.servers
async def test_only_what_is_meant_is_sent_back_and_the_rest_keeps_its_order(
    messaging: Messaging, audit: FileAudit
) -> None:
    for number in range(6):
        reason = "malformed" if number % 2 else "retries-exhausted"
        await bury(messaging, f"m{number}", **{"x-dead-reason": reason})
    assert await send_back(messaging, audit, Selection(reason="malformed"), limit=2) == 2
    await waiting(messaging, 4)
    assert await send_back(messaging, audit, Selection(ids=frozenset({"m4", "m9"}))) == 1
    await waiting(messaging, 3)
    assert [letter.message_id for letter in await buried(messaging)] == ["m0", "m2", "m5"]
    await waiting(messaging, 3)
    assert [(await messaging.take(QUEUE)).message_id for _ in range(3)] == ["m1", "m3", "m4"]
    async with connected([messaging.amqp_url]) as broker:
        summary = await summarise(broker, QUEUE, Bounds(scan=2), Tally())
    assert (summary.waiting, summary.looked_at) == (3, 2)
    assert summary.reasons == {"retries-exhausted (RuntimeError)": 2}


class Killed(BaseException):
    """Nothing after it runs, as after a kill."""


class KilledBeforeRecord(FileAudit):
    async def write(self, letter: DeadLetter, act: OperatorAction, now: datetime) -> None:
        raise Killed


@pytest.mark.servers
async def test_killed_between_copy_and_ack_nothing_is_lost_and_the_effect_is_one(
    messaging: Messaging, audit: FileAudit, database_url: str
) -> None:
    await bury(messaging, "m1")
    await bury(messaging, "m2")
    with pytest.raises(Killed):
        await send_back(messaging, KilledBeforeRecord(audit.path))
    await waiting(messaging, 2)
    assert await messaging.count(QUEUE) == 1, "the first copy was confirmed before the end"
    assert await send_back(messaging, audit) == 2

    engine = create_async_engine(database_url)

    def create(connection: Connection) -> None:
        operations: Any = Operations(MigrationContext.configure(connection))
        create_inbox(operations)

    async with engine.begin() as connection:
        await connection.run_sync(create)
    publisher = Publisher(messaging.amqp_url, source="tests")
    await publisher.wait_connected()
    service = make_broker(messaging.amqp_url, service="tests", graceful_timeout_s=2)
    consumer = EventConsumer(service, publisher, PLAN, service="tests", service_version="1")
    delivered: list[str] = []
    effects: list[str] = []

    @consumer.on(QUEUE, TaskRead, prefetch=1)
    async def handle(event: TaskRead, meta: EventMeta) -> None:
        async with engine.begin() as connection:
            if await claim_once(connection, "tests", meta.id):
                effects.append(meta.id)
        delivered.append(meta.id)

    await service.start()
    await eventually(lambda: len(delivered) == 3, what="both messages and the second copy")
    await service.stop()
    await publisher.stop()
    await engine.dispose()
    assert sorted(effects) == ["m1", "m2"]
    assert await messaging.count(DEAD) == 0
