"""Publishing and consuming on a real broker: what is confirmed, retried and dead-lettered."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from laundry_events import (
    BrokerUnavailable,
    EventConsumer,
    EventMeta,
    PermanentError,
    Publisher,
    Unroutable,
    make_broker,
)
from laundry_events.broker import ConsumingBroker
from laundry_events.envelope import encode
from laundry_events.events import ModelPromoted, TaskRead
from laundry_events.plan import EVENTS_EXCHANGE
from laundry_events.topology import TELEMETRY_EXCHANGE
from laundry_testing.events import reading
from laundry_testing.messaging import Messaging, eventually

from .consuming import consume

pytestmark = pytest.mark.servers

Start = Callable[[EventConsumer], Awaitable[None]]


@pytest.fixture
def consumer(broker: ConsumingBroker, publisher: Publisher) -> EventConsumer:
    return consume(broker, publisher)


async def test_a_published_event_reaches_its_handler_with_its_id(
    consumer: EventConsumer, publisher: Publisher
) -> None:
    seen: list[tuple[TaskRead, EventMeta]] = []

    @consumer.on("task.read", TaskRead, prefetch=5)
    async def handle(event: TaskRead, meta: EventMeta) -> None:
        seen.append((event, meta))

    await consumer.broker.start()
    event_id = await publisher.publish(reading())
    await eventually(lambda: seen, what="the reading")
    event, meta = seen[0]
    assert event.task_id == "t1"
    assert (meta.id, meta.source, meta.attempt) == (event_id, "/tests", 1)


async def test_a_message_is_persistent_and_carries_its_id_and_content_type(
    messaging: Messaging, publisher: Publisher
) -> None:
    event_id = await publisher.publish(reading())
    message = await messaging.take("task.read")
    assert (message.message_id, message.delivery_mode, message.content_type) == (
        event_id,
        2,
        "application/json",
    )


async def test_an_unroutable_message_is_an_error(publisher: Publisher) -> None:
    with pytest.raises(Unroutable):
        await publisher.send(EVENTS_EXCHANGE, "nobody.listens", body=b"{}", headers={}, message_id="1")


async def test_publishing_without_a_broker_fails_at_once() -> None:
    publisher = Publisher("amqp://nobody:nothing@127.0.0.1:9/", source="tests", timeout_s=1)
    await publisher.start()
    with pytest.raises(BrokerUnavailable):
        await publisher.publish(reading())
    await publisher.stop()


async def test_a_failing_handler_is_tried_four_times_and_then_dead_lettered(
    consumer: EventConsumer, publisher: Publisher, messaging: Messaging
) -> None:
    attempts: list[int] = []

    @consumer.on("task.read", TaskRead, prefetch=5)
    async def handle(event: TaskRead, meta: EventMeta) -> None:
        attempts.append(meta.attempt)
        raise RuntimeError("the database is away")

    await consumer.broker.start()
    event_id = await publisher.publish(reading())
    dead = await messaging.take("task.read.dlq")
    assert attempts == [1, 2, 3, 4]
    assert dead.message_id == event_id
    assert dead.headers["cloudEvents_id"] == event_id
    assert dead.headers["x-dead-reason"] == "retries-exhausted"
    assert dead.headers["x-error-message"] == "the database is away"
    first, last = (datetime.fromisoformat(str(dead.headers[f"x-{w}-failed-at"])) for w in ("first", "last"))
    assert (last - first).total_seconds() >= 7, "1 + 2 + 4 seconds lie between the first and the last failure"


@pytest.mark.parametrize("drills", [True, False])
async def test_a_drill_fails_only_where_drills_are_allowed(
    drills: bool, messaging: Messaging, publisher: Publisher
) -> None:
    seen: list[str] = []
    broker = make_broker(messaging.amqp_url, service="tests", graceful_timeout_s=2)
    consumer = consume(broker, publisher, drills=drills)

    @consumer.on("task.read", TaskRead, prefetch=5)
    async def handle(event: TaskRead, meta: EventMeta) -> None:
        seen.append(event.task_id)

    await broker.start()
    outgoing = encode(reading(), source="/tests")
    await messaging.publish_raw(
        EVENTS_EXCHANGE, "task.read", outgoing.body, headers={**outgoing.headers, "x-drill": "yes"}
    )
    if drills:
        dead = await messaging.take("task.read.dlq")
        assert (dead.headers["x-error-class"], dead.headers["x-attempts"]) == ("DrillError", 4)
    else:
        await eventually(lambda: seen == ["t1"], what="a usual effect")
    assert len(seen) == (0 if drills else 1)
    await broker.stop()


async def test_a_retry_that_succeeds_ends_there(
    consumer: EventConsumer, publisher: Publisher, messaging: Messaging
) -> None:
    attempts: list[int] = []

    @consumer.on("task.read", TaskRead, prefetch=5)
    async def handle(event: TaskRead, meta: EventMeta) -> None:
        attempts.append(meta.attempt)
        if meta.attempt == 1:
            raise TimeoutError

    await consumer.broker.start()
    await publisher.publish(reading())
    await eventually(lambda: len(attempts) == 2, what="the second attempt")
    await consumer.broker.stop()
    assert await messaging.count("task.read") == await messaging.count("task.read.dlq") == 0


BAD = {
    "no headers": ({}, b"{}", "malformed"),
    "no JSON": (encode(reading(), source="/x").headers, b"{not json", "malformed"),
    "another shape": (encode(reading(), source="/x").headers, b'{"task_id": 5}', "malformed"),
    "unknown type": (
        {**encode(reading(), source="/x").headers, "cloudEvents_type": "TaskLost"},
        b"{}",
        "unknown-event",
    ),
    "unknown version": (
        {**encode(reading(), source="/x").headers, "cloudEvents_dataschema": "urn:laundry:schema:TaskRead:2"},
        b"{}",
        "unknown-event",
    ),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_bad_message_dies_at_once_and_the_consumer_goes_on(
    case: str, consumer: EventConsumer, publisher: Publisher, messaging: Messaging
) -> None:
    headers, body, reason = BAD[case]
    seen: list[TaskRead] = []

    @consumer.on("task.read", TaskRead, prefetch=1)
    async def handle(event: TaskRead, meta: EventMeta) -> None:
        seen.append(event)

    await consumer.broker.start()
    await messaging.publish_raw(EVENTS_EXCHANGE, "task.read", body, headers=headers)
    await publisher.publish(reading("after"))
    dead = await messaging.take("task.read.dlq")
    assert (dead.headers["x-dead-reason"], dead.headers["x-attempts"]) == (reason, 1)
    assert dead.body == body
    await eventually(lambda: seen, what="the message after the bad one")
    assert [event.task_id for event in seen] == ["after"]


async def test_a_raw_message_is_handed_over_as_it_came(consumer: EventConsumer, messaging: Messaging) -> None:
    seen: list[bytes] = []

    @consumer.on_raw("telemetry.reported", prefetch=1)
    async def handle(body: bytes, meta: EventMeta) -> None:
        if body == b"bad":
            raise PermanentError("no sample", reason="malformed")
        seen.append(body)

    await consumer.broker.start()
    for body in (b"bad", b"good"):
        await messaging.publish_raw(TELEMETRY_EXCHANGE, "telemetry.washer-1", body)
    await eventually(lambda: seen == [b"good"], what="the good sample")
    assert (await messaging.take("telemetry.reported.dlq")).headers["x-dead-reason"] == "malformed"


async def test_a_broadcast_reaches_every_reader(messaging: Messaging, publisher: Publisher) -> None:
    seen: list[tuple[int, str]] = []
    brokers = []

    def reader(number: int, consumer: EventConsumer) -> None:
        @consumer.on_stream("model.promoted", ModelPromoted)
        async def handle(event: ModelPromoted, meta: EventMeta) -> None:
            seen.append((number, event.model_version))

    for number in range(3):
        broker = make_broker(messaging.amqp_url, service=f"reader-{number}")
        reader(number, consume(broker, publisher))
        await broker.start()
        brokers.append(broker)
    await publisher.publish(
        ModelPromoted(
            model_version="m2",
            manifest_key="models/m2",
            sha256="0" * 64,
            promoted_by="operator",
            promoted_at=datetime.now(UTC),
        )
    )
    await eventually(lambda: len(seen) == 3, what="three readers")
    assert sorted(seen) == [(0, "m2"), (1, "m2"), (2, "m2")]
    await asyncio.gather(*(broker.stop() for broker in brokers))


async def test_consuming_and_publishing_resume_when_the_broker_drops_every_connection(
    consumer: EventConsumer, publisher: Publisher, messaging: Messaging
) -> None:
    import httpx

    seen: list[str] = []

    @consumer.on("task.read", TaskRead, prefetch=1)
    async def handle(event: TaskRead, meta: EventMeta) -> None:
        seen.append(event.task_id)

    await consumer.broker.start()
    login = (messaging.broker.username, messaging.broker.password)
    async with httpx.AsyncClient(base_url=messaging.broker.management_url, auth=login, timeout=10) as api:

        async def connections() -> list[str]:
            answer = await api.get(f"/api/vhosts/{messaging.vhost}/connections")
            return [item["name"] for item in answer.json()]

        async def both() -> Any:
            names = await connections()
            return names if len(names) >= 2 else None

        dropped = set(await eventually(both, what="both connections in the management API"))
        for name in dropped:
            await api.delete(f"/api/connections/{name.replace(' ', '%20').replace('>', '%3E')}")

        async def lost() -> bool:
            # Asked of the broker: here the loss may be over before it is looked for.
            return dropped.isdisjoint(await connections())

        await eventually(lost, what="the loss")

    async def published() -> bool:
        try:
            await publisher.publish(reading("after"))
        except BrokerUnavailable:
            return False
        return True

    await eventually(published, what="publishing again")
    await eventually(lambda: "after" in seen, what="consuming again")


async def test_a_message_whose_headers_fill_a_frame_dies_like_any_other(
    messaging: Messaging, publisher: Publisher, consumer: EventConsumer
) -> None:
    @consumer.on_raw("telemetry.reported", prefetch=5)
    async def handle(body: bytes, meta: EventMeta) -> None:
        raise PermanentError("no sample", reason="invalid-request")

    await consumer.broker.start()
    headers = {"stranger": "x" * 130_600}
    await messaging.publish_raw(TELEMETRY_EXCHANGE, "telemetry.washer-3", b"{}", headers=headers)
    dead = await messaging.take("telemetry.reported.dlq")
    assert dead.headers["x-dead-reason"] == "invalid-request"
    assert dead.headers["x-original-routing-key"] == "telemetry.washer-3"
    assert dead.headers["x-headers-left-out"] == 1
