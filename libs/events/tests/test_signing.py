"""Only what its consumer signed may come back to a queue, whoever sends it."""

import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aio_pika
import pytest
import pytest_asyncio
from aio_pika.abc import FieldValue
from aio_pika.exceptions import AMQPError
from hypothesis import given
from hypothesis import strategies as st

from laundry_dead_letters.actions import Bounds, Tally, redrive
from laundry_dead_letters.audit import FileAudit
from laundry_dead_letters.broker import connected
from laundry_dead_letters.dead_letter import OperatorAction, Selection
from laundry_dead_letters.errors import DeadLetterError
from laundry_events import EventConsumer, EventMeta, PermanentError, Publisher, make_broker
from laundry_events.envelope import encode
from laundry_events.errors import NotSigned
from laundry_events.events import TaskRead
from laundry_events.headers import SIGNATURE
from laundry_events.plan import DEAD_EXCHANGE, REQUEUE_EXCHANGE
from laundry_events.signing import MessageSigner
from laundry_events.topology import PLAN, TELEMETRY_EXCHANGE
from laundry_testing.events import reading
from laundry_testing.messaging import Messaging, eventually

KEY, OTHER = "k" * 32, "o" * 32
QUEUE, DEAD = "task.read", "task.read.dlq"
HEADERS = {"cloudEvents_id": "e1", "x-original-routing-key": QUEUE, "x-attempt": 2, "x-error-class": "E"}


ATTRIBUTES = st.lists(
    st.tuples(st.text("ab", min_size=1, max_size=3), st.text("ab=", max_size=3)), max_size=3
)


def back(headers: dict[str, Any], body: bytes = b"{}", message_id: str | None = "m1", **changed: Any) -> Any:
    """A message as it comes back."""
    return SimpleNamespace(
        **{
            "exchange": REQUEUE_EXCHANGE,
            "headers": headers,
            "body": body,
            "message_id": message_id,
            **changed,
        }
    )


def signed(signer: MessageSigner) -> dict[str, Any]:
    headers = dict(HEADERS)
    signer.sign(QUEUE, headers, b"{}", "m1")
    return headers


def test_what_was_signed_comes_back_whoever_sent_it_and_how_often() -> None:
    headers = {
        **signed(MessageSigner(KEY)),
        "x-attempt": 1,
        "x-redriven": 3,
        "x-redriven-by": "op",
        "CC": ["x"],
    }
    MessageSigner(KEY).check(back(headers), QUEUE)


@pytest.mark.parametrize(
    ("headers", "changed"),
    [
        ({}, {"body": b"{ }"}),
        ({}, {"message_id": "m2"}),
        ({"cloudEvents_id": "e2"}, {}),
        ({"cloudEvents_subject": "s"}, {}),
        ({"x-original-routing-key": "telemetry.washer-1"}, {}),
        ({"x-drill": "crash"}, {}),
        ({SIGNATURE: "v1:" + "0" * 64}, {}),
        ({SIGNATURE: 5}, {}),
        ({SIGNATURE: "ü"}, {}),
    ],
)
def test_what_was_changed_is_not_taken(headers: dict[str, Any], changed: dict[str, Any]) -> None:
    signer = MessageSigner(KEY)
    with pytest.raises(NotSigned):
        signer.check(back({**signed(signer), **headers}, **changed), QUEUE)


def test_a_letter_of_one_queue_is_none_of_another() -> None:
    signer = MessageSigner(KEY)
    with pytest.raises(NotSigned):
        signer.check(back(signed(signer)), "task.submitted")


def test_keys_are_changed_without_a_break() -> None:
    old = signed(MessageSigner(OTHER))
    MessageSigner(f"{KEY},{OTHER}").check(back(old), QUEUE)
    with pytest.raises(NotSigned):
        MessageSigner(KEY).check(back(old), QUEUE)
    assert signed(MessageSigner(f"{KEY}, {OTHER}"))[SIGNATURE] == signed(MessageSigner(KEY))[SIGNATURE]


def test_unsigned_ones_are_taken_until_the_time_that_is_set_but_no_wrong_ones() -> None:
    now = datetime.now(UTC)
    before = MessageSigner(KEY, unsigned_until=now + timedelta(days=1))
    before.check(back(dict(HEADERS)), QUEUE)
    with pytest.raises(NotSigned):
        before.check(back({**HEADERS, SIGNATURE: "v1:0"}), QUEUE)
    with pytest.raises(NotSigned):
        MessageSigner(KEY, unsigned_until=now - timedelta(seconds=1)).check(back(dict(HEADERS)), QUEUE)


def test_what_came_the_usual_way_needs_no_signature_and_without_a_key_nothing_does() -> None:
    MessageSigner(KEY).check(back({}, exchange=TELEMETRY_EXCHANGE), QUEUE)
    MessageSigner(None).check(back({}), QUEUE)
    assert SIGNATURE not in signed(MessageSigner(""))


def test_a_short_key_is_refused() -> None:
    with pytest.raises(ValueError, match="32"):
        MessageSigner("short")


@given(ATTRIBUTES, ATTRIBUTES)
def test_no_two_messages_share_a_signature(one: list[tuple[str, str]], two: list[tuple[str, str]]) -> None:
    signer, found = MessageSigner(KEY), []
    for attributes in (one, two):
        headers: dict[str, Any] = {f"cloudEvents_{name}": value for name, value in attributes}
        unsigned = dict(headers)
        signer.sign(QUEUE, headers, b"", None)
        found.append((unsigned, headers[SIGNATURE]))
    assert (found[0][0] == found[1][0]) == (found[0][1] == found[1][1])


class Helper:
    """A consumer with a key; what it handles, and whether it fails."""

    def __init__(self) -> None:
        self.well = True
        self.fails: type[Exception] = PermanentError
        self.seen: list[str] = []


@pytest_asyncio.fixture
async def helper(messaging: Messaging, publisher: Publisher) -> AsyncIterator[Helper]:
    helper = Helper()
    broker = make_broker(messaging.amqp_url, service="tests", graceful_timeout_s=2)
    consumer = EventConsumer(
        broker, publisher, PLAN, service="tests", service_version="1", signer=MessageSigner(KEY)
    )

    @consumer.on(QUEUE, TaskRead, prefetch=5)
    async def handle(event: TaskRead, meta: EventMeta) -> None:
        if not helper.well:
            raise helper.fails("not now")
        helper.seen.append(event.task_id)

    await broker.start()
    yield helper
    await broker.stop()


async def send_back(
    url: str, audit: FileAudit, selection: Selection | None = None, *, to_origin: bool = False
) -> int:
    tally, act = Tally(), OperatorAction("redrive", "tester", "again")
    async with connected([url]) as broker:
        await redrive(
            broker,
            QUEUE,
            selection or Selection(),
            Bounds(),
            tally,
            act=act,
            audit=audit,
            rate=1000,
            to_origin=to_origin,
        )
    return tally.done


@pytest.mark.servers
async def test_a_retry_and_a_redrive_bear_their_signature(
    helper: Helper, messaging: Messaging, publisher: Publisher, tmp_path: Path
) -> None:
    helper.well, helper.fails = False, RuntimeError
    await publisher.publish(reading("t1"))

    async def dead() -> bool:
        return await messaging.count(DEAD) == 1

    await eventually(dead, what="the end of the retries")
    helper.well = True
    async with messaging.user("operations") as url:
        assert await send_back(url, FileAudit(tmp_path / "audit")) == 1
    await eventually(lambda: helper.seen == ["t1"], what="the redriven message")
    assert await messaging.count(DEAD) == 0


@pytest.mark.servers
async def test_what_the_login_of_operations_can_and_cannot_do(
    helper: Helper, messaging: Messaging, publisher: Publisher, tmp_path: Path
) -> None:
    outgoing = encode(reading("forged"), source="/helper", event_id="forged")
    forged: dict[str, FieldValue] = {
        **outgoing.headers,
        "x-original-routing-key": QUEUE,
        "x-delivery-count": 18,
    }
    async with messaging.user("operations") as url, await aio_pika.connect(url) as connection:
        # It may put any body on the way to any main queue, and it comes to nothing but a dead letter.
        channel = await connection.channel(on_return_raises=True)
        exchange = await channel.get_exchange(REQUEUE_EXCHANGE, ensure=False)
        attempts: list[Mapping[str, FieldValue]] = [
            forged,
            {**forged, SIGNATURE: "v1:" + "0" * 64},
            outgoing.headers,
        ]
        for headers in attempts:
            message = aio_pika.Message(outgoing.body, headers=dict(headers), message_id="forged")
            await exchange.publish(message, QUEUE)

        async def refused() -> bool:
            return await messaging.count(DEAD) == 3

        await eventually(refused, what="the death of what is forged")
        # To fail has not made it genuine: sent back from its dead letters it dies again.
        audit = FileAudit(tmp_path / "audit")
        assert await send_back(url, audit) == 3
        await eventually(refused, what="the second death")
        assert helper.seen == []

        # It may not publish an event or a sample, into a retry or among the dead, or to a queue itself.
        for name, key in (
            ("laundry.events", QUEUE),
            ("laundry.telemetry", "telemetry.washer-1"),
            ("laundry.retry", f"{QUEUE}.retry.1s"),
            (DEAD_EXCHANGE, DEAD),
            ("", QUEUE),
            (REQUEUE_EXCHANGE, DEAD),
        ):
            channel = await connection.channel()
            target = await channel.get_exchange(name, ensure=False) if name else channel.default_exchange
            with pytest.raises(AMQPError):
                await target.publish(aio_pika.Message(b"{}"), key, timeout=60)

        # It may not read, empty, remove or bind a living queue that is not its own.
        for queue in (each for each in PLAN.queues if each.consumer != "operations"):
            for act in ("get", "purge", "delete", "bind"):
                channel = await connection.channel()
                source = await channel.get_queue(queue.name, ensure=False)
                with pytest.raises(AMQPError):
                    if act == "get":
                        await source.get(fail=False, timeout=60)
                    elif act == "bind":
                        await source.bind("amq.topic", "#")
                    else:
                        await getattr(source, act)()

        # To empty the dead letters needs no other right than to read them, so the broker lets it: what was
        # discarded by that login alone has no record, and the count of dead letters falls.
        channel = await connection.channel()
        dead = await channel.get_queue(DEAD, ensure=False)
        assert (await dead.purge()).message_count == 3
        with pytest.raises(AMQPError):
            await dead.delete()


@pytest.mark.servers
async def test_a_letter_that_nobody_signed_is_sent_anew_by_an_administrator_only(
    helper: Helper, messaging: Messaging, tmp_path: Path
) -> None:
    outgoing = encode(reading("old"), source="/helper", event_id="old")
    headers = {**outgoing.headers, "x-dead-reason": "retries-exhausted"}
    await messaging.publish_raw(DEAD_EXCHANGE, DEAD, outgoing.body, headers=headers, message_id="old")
    audit = FileAudit(tmp_path / "audit")
    async with messaging.user("operations") as url:
        with pytest.raises(DeadLetterError, match="administrator"):
            await send_back(url, audit, to_origin=True)

    async def back_again() -> bool:
        return await messaging.count(DEAD) == 1

    await eventually(back_again, what="the letter in its place")
    assert await send_back(messaging.amqp_url, audit, to_origin=True) == 1
    await eventually(lambda: helper.seen == ["old"], what="the message that was published again")
    assert json.loads((tmp_path / "audit").read_text())["action"] == "redrive"
