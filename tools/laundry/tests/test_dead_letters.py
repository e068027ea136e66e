"""What an operator does with dead letters, on a real broker."""

import asyncio
import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from typer.testing import CliRunner

from laundry.cli import app
from laundry_dead_letters.actions import Bounds, Tally, exported, look, redrive, summarise
from laundry_dead_letters.audit import FileAudit
from laundry_dead_letters.broker import connected
from laundry_dead_letters.dead_letter import DeadLetter, OperatorAction, Selection, redriven_headers
from laundry_events import EventConsumer, EventMeta, PermanentError, Publisher, claim_once, make_broker
from laundry_events.envelope import encode
from laundry_events.events import TaskRead
from laundry_events.plan import DEAD_EXCHANGE
from laundry_events.tables import create_inbox
from laundry_events.topology import PLAN
from laundry_testing.messaging import Messaging, eventually

ACT = OperatorAction("redrive", "tester", "the database is back")
QUEUE, DEAD = "task.read", "task.read.dlq"
FAILED = {
    "x-attempt": 4,
    "x-attempts": 4,
    "x-dead-reason": "retries-exhausted",
    "x-first-failed-at": "2026-05-01T10:00:00.000Z",
    "x-last-failed-at": "2026-05-01T10:00:07.000Z",
    "x-error-class": "RuntimeError",
    "x-error-message": "the database is away",
    "x-service": "helper",
    "x-original-queue": QUEUE,
    "x-original-routing-key": QUEUE,
}
Run = Callable[..., Any]


def reading(task_id: str = "t1") -> TaskRead:
    return TaskRead(
        task_id=task_id,
        task_version=1,
        branch_id="b1",
        outcome="read",
        model_version="m1",
        read_at=datetime.now(UTC),
    )


async def bury(messaging: Messaging, message_id: str, **headers: Any) -> None:
    """Put a dead letter where the consumer would."""
    outgoing = encode(reading(message_id), source="/tests", event_id=message_id)
    await messaging.publish_raw(
        DEAD_EXCHANGE,
        DEAD,
        outgoing.body,
        headers={**outgoing.headers, **FAILED, **headers},
        message_id=message_id,
    )


async def buried(messaging: Messaging, selection: Selection | None = None) -> list[DeadLetter]:
    found: list[DeadLetter] = []
    async with connected([messaging.amqp_url]) as broker:
        await look(broker, QUEUE, selection or Selection(), Bounds(), Tally(), handle=found.append)
    return found


async def send_back(
    messaging: Messaging, audit: FileAudit, selection: Selection | None = None, **bounds: Any
) -> int:
    tally = Tally()
    async with connected([messaging.amqp_url]) as broker:
        await redrive(
            broker,
            QUEUE,
            selection or Selection(),
            Bounds(**bounds),
            tally,
            act=ACT,
            audit=audit,
            rate=1000,
        )
    return tally.done


async def waiting(messaging: Messaging, number: int) -> None:
    """Letters that were looked at are counted again once the broker has taken them back."""

    async def all_there() -> bool:
        return await messaging.count(DEAD) == number

    await eventually(all_there, what=f"{number} letters in {DEAD}")


@pytest.fixture
def audit(tmp_path: Path) -> FileAudit:
    return FileAudit(tmp_path / "audit" / "dead-letters.jsonl")


@pytest.fixture
def run(messaging: Messaging, tmp_path: Path) -> Run:
    """Run ``laundry dlq`` as a person would, beside the test's event loop."""

    async def run(*arguments: str, answer: str | None = None, **variables: str) -> Any:
        environment = {
            "LAUNDRY_AMQP_URL": messaging.amqp_url,
            "LAUNDRY_VAR_DIR": str(tmp_path),
            **variables,
        }
        return await asyncio.to_thread(
            CliRunner().invoke, app, ["dlq", *arguments], input=answer, env=environment
        )

    return run


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


@pytest.mark.servers
async def test_the_default_of_redrive_shows_and_changes_nothing(
    messaging: Messaging, run: Run, audit: FileAudit
) -> None:
    await bury(messaging, "m1", **{"x-redriven": 2})
    shown = await run("redrive", DEAD)
    assert shown.exit_code == 0, shown.output
    assert "1 dead letters would be sent back" in shown.output
    assert "already redriven 2×" in shown.output
    await waiting(messaging, 1)
    silent = await run("redrive", QUEUE, "--execute", "--by", "kim")
    assert silent.exit_code == 1, "a reason is asked for"
    assert await messaging.count(QUEUE) == 0
    assert list(audit.records()) == []
    done = await run("redrive", QUEUE, "--execute", "--by", "kim", "--reason-text", "mended")
    assert done.exit_code == 0, done.output
    assert (await messaging.take(QUEUE)).headers["x-redrive-reason"] == "mended"
    assert [(one["by"], one["action"], one["queue"], one["reason"]) for one in audit.records()] == [
        ("kim", "redrive", QUEUE, "mended")
    ]


@pytest.mark.servers
async def test_what_was_not_looked_at_and_what_is_left_is_said(messaging: Messaging, run: Run) -> None:
    for number in range(3):
        await bury(messaging, f"m{number}")
    shown = await run("redrive", QUEUE, "--reason", "malformed", "--scan", "2")
    assert "0 dead letters would be sent back" in shown.output
    assert "Looked at 2 of 3" in shown.output
    await waiting(messaging, 3)
    done = await run("redrive", QUEUE, "--execute", "--limit", "1", "--reason-text", "mended")
    assert "1 sent back, 2 left" in done.output


@pytest.mark.servers
async def test_names_to_type_again_are_whole_in_a_narrow_terminal(messaging: Messaging, run: Run) -> None:
    reason = "a-reason-that-is-longer-than-its-column-in-a-narrow-terminal"
    await bury(messaging, "m1", **{"x-dead-reason": reason, "x-error-digest": "0123456789abcdef"})
    listed = await run("list", COLUMNS="80")
    assert "…" not in listed.output
    await waiting(messaging, 1)
    assert "0123456789abcdef" in (await run("show", QUEUE)).output


@pytest.mark.servers
async def test_discard_asks_and_leaves_a_record(messaging: Messaging, run: Run, audit: FileAudit) -> None:
    await bury(messaging, "m1")
    await bury(messaging, "m2")
    assert (await run("discard", QUEUE, "--yes")).exit_code == 1, "no reason was given"
    refused = await run("discard", QUEUE, "--reason-text", "a test", answer="n\n")
    assert refused.exit_code == 1, refused.output
    assert "Nothing was discarded" in refused.output
    await waiting(messaging, 2)
    assert list(audit.records()) == []
    agreed = await run("discard", QUEUE, "--id", "m1", "--reason-text", "a test", answer="y\n")
    assert agreed.exit_code == 0, agreed.output
    await waiting(messaging, 1)
    [record] = audit.records()
    assert (record["action"], record["id"], record["dead_reason"]) == ("discard", "m1", "retries-exhausted")
    assert "a test" in (await run("audit", "--json")).output


@pytest.mark.servers
async def test_an_export_holds_headers_and_bytes_and_removes_nothing(
    messaging: Messaging, run: Run, tmp_path: Path
) -> None:
    body = b"\xff\x00 no JSON"
    await messaging.publish_raw(DEAD_EXCHANGE, DEAD, body, headers=FAILED, message_id="m1")
    target = tmp_path / "letters.jsonl"
    done = await run("export", QUEUE, "--file", str(target))
    assert done.exit_code == 0, done.output
    [line] = [json.loads(text) for text in target.read_text().splitlines()]
    assert (line["message_id"], line["headers"]) == ("m1", FAILED)
    assert base64.b64decode(line["body_base64"]) == body
    await waiting(messaging, 1)
    lines = (await run("list", "--json")).stdout.splitlines()
    counts = {queue["dead_letter_queue"]: queue["messages"] for queue in map(json.loads, lines)}
    assert {name for name, count in counts.items() if count} == {DEAD}
    await waiting(messaging, 1)
    shown = await run("show", "--id", "m1")
    assert "the database is away" in shown.output, shown.output
