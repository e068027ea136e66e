"""A queue whose plan gives it other delays, on a real broker: what is declared, consumed and told of it."""

import re
from dataclasses import replace
from datetime import datetime

import pytest

from laundry_events import EventConsumer, EventMeta, Publisher, make_broker
from laundry_events.asyncapi import asyncapi
from laundry_events.definitions import policies, topic_permissions
from laundry_events.events import EVENTS, TaskRead
from laundry_events.topology import PLAN
from laundry_testing.events import reading
from laundry_testing.messaging import Messaging, apply_plan

QUEUE = "task.read"
OTHER = replace(
    PLAN,
    queues=tuple(
        replace(queue, retry_delays_s=(1, 3)) if queue.name == QUEUE else queue for queue in PLAN.queues
    ),
)


@pytest.mark.servers
async def test_a_message_is_tried_as_often_and_as_late_as_its_queue_says_with_a_services_own_rights(
    messaging: Messaging,
) -> None:
    apply_plan(messaging.broker, messaging.vhost, OTHER)
    attempts: list[int] = []
    async with messaging.user("helper", OTHER) as url:
        administrator, own = Publisher(messaging.amqp_url, source="tests"), Publisher(url, source="helper")
        for publisher in (administrator, own):
            await publisher.wait_connected()
        broker = make_broker(url, service="helper", graceful_timeout_s=2)
        consumer = EventConsumer(broker, own, OTHER, service="helper", service_version="1")

        @consumer.on(QUEUE, TaskRead, prefetch=5)
        async def handle(event: TaskRead, meta: EventMeta) -> None:
            attempts.append(meta.attempt)
            raise RuntimeError("the database is away")

        await broker.start()
        event_id = await administrator.publish(reading())
        dead = await messaging.take(f"{QUEUE}.dlq")
        await broker.stop()
        for publisher in (administrator, own):
            await publisher.stop()
    assert attempts == [1, 2, 3]
    assert (dead.message_id, dead.headers["x-attempts"]) == (event_id, 3)
    first, last = (datetime.fromisoformat(str(dead.headers[f"x-{w}-failed-at"])) for w in ("first", "last"))
    assert (last - first).total_seconds() >= 4, "1 + 3 seconds lie between the first and the last failure"


def test_rights_limits_and_documents_follow_the_plan() -> None:
    waits = {each["name"]: each["definition"].get("message-ttl") for each in policies(OTHER, vhost="v")}
    assert {name: ttl for name, ttl in waits.items() if name.startswith(f"{QUEUE}.retry")} == {
        f"{QUEUE}.retry.1s": 1_000,
        f"{QUEUE}.retry.3s": 3_000,
    }
    assert waits["task.submitted.retry.4s"] == 4_000, "the others keep theirs"
    [keys] = [
        each["write"]
        for each in topic_permissions(OTHER, vhost="v")
        if (each["user"], each["exchange"]) == ("helper", "laundry.retry")
    ]
    own = re.fullmatch(r"\^\((.*)\)\$", keys)
    assert own is not None
    of_the_queue = {key for key in own[1].split("|") if key.startswith(r"task\.read")}
    assert of_the_queue == {r"task\.read\.retry\.1s", r"task\.read\.retry\.3s"}
    channels = asyncapi(OTHER, EVENTS, title="t", version="1")["channels"]
    assert channels[QUEUE]["x-retry-delays-seconds"] == [1, 3]
    assert channels[QUEUE]["x-max-attempts"] == 3
    assert channels["task.submitted"]["x-max-attempts"] == 4
