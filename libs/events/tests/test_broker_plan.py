"""The plan is applied to a real broker, and every way of departing from it is found."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import aio_pika
import pytest

from laundry_events import broker_plan
from laundry_events.broker_plan import Target
from laundry_events.errors import PlanRefused
from laundry_events.plan import REPLIES_EXCHANGE, Plan
from laundry_events.surplus import remove_surplus
from laundry_events.topology import PLAN, VHOST
from laundry_servers.addresses import BrokerAddress

pytestmark = pytest.mark.servers


@pytest.fixture
def target(rabbitmq: BrokerAddress) -> Iterator[Target]:
    """A broker that follows the plan, in the plan's own virtual host; users are of the whole broker."""
    found = Target(rabbitmq.management_url, rabbitmq.username, rabbitmq.password)
    passwords = {service.name: f"password-of-{service.name}" for service in PLAN.services}
    broker_plan.apply(found, PLAN, passwords, nodes=1)
    yield found
    with found.client() as client:
        client.delete(f"/api/vhosts/{VHOST}").raise_for_status()
        for name in passwords:
            client.delete(f"/api/users/{name}")


def test_a_broker_with_the_plan_agrees_with_it_however_often_it_is_applied(target: Target) -> None:
    assert broker_plan.differences(target, PLAN) == []
    broker_plan.apply(target, PLAN, None, nodes=1)
    assert broker_plan.differences(target, PLAN) == []


async def test_where_callers_wait_for_answers_is_no_departure(
    target: Target, rabbitmq: BrokerAddress
) -> None:
    url = rabbitmq.amqp_url_for(rabbitmq.username, rabbitmq.password, VHOST)
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("helper.replies.1", exclusive=True, auto_delete=True)
        await queue.bind(REPLIES_EXCHANGE, "helper.replies.1")
        assert await asyncio.to_thread(broker_plan.differences, target, PLAN) == []


def test_every_departure_is_found_and_mended(target: Target) -> None:
    with target.client() as client:

        def change(method: str, path: str, **body: object) -> None:
            client.request(method, path, json=body or None).raise_for_status()

        change("DELETE", f"/api/queues/{VHOST}/task.read.dlq")
        change("DELETE", f"/api/bindings/{VHOST}/e/laundry.events/q/task.read/task.read")
        change("PUT", f"/api/queues/{VHOST}/stray", durable=True, arguments={"x-queue-type": "quorum"})
        change("PUT", f"/api/permissions/{VHOST}/search", configure=".*", write=".*", read=".*")
        policy = client.get(f"/api/policies/{VHOST}/equipment.fault").json()
        policy["definition"]["max-length"] = 1
        change("PUT", f"/api/policies/{VHOST}/equipment.fault", **policy)
        change("DELETE", "/api/users/helper")
    found = "\n".join(map(str, broker_plan.differences(target, PLAN)))
    for expected in (
        "queues: task.read.dlq is missing",
        "bindings: laundry.events / task.read / task.read is missing",
        "queues: stray is not in the plan",
        "permissions: search: configure",
        "policies: equipment.fault: definition",
        "users: helper is missing",
    ):
        assert expected in found, found
    with target.client() as client:
        client.delete(f"/api/queues/{VHOST}/stray").raise_for_status()
    broker_plan.apply(target, PLAN, {service.name: "other-password" for service in PLAN.services}, nodes=1)
    assert broker_plan.differences(target, PLAN) == []


def test_a_broker_without_the_plan_and_a_wrong_password_are_told_apart(rabbitmq: BrokerAddress) -> None:
    known = Target(rabbitmq.management_url, rabbitmq.username, rabbitmq.password)
    assert [str(each) for each in broker_plan.differences(known, PLAN)] == [f"vhosts: {VHOST} is missing"]
    stranger = Target(rabbitmq.management_url, rabbitmq.username, "wrong")
    with pytest.raises(PlanRefused, match="401"):
        broker_plan.differences(stranger, PLAN)


def with_delays(name: str, *delays: int) -> Plan:
    """The plan, but for the retries of one queue."""
    queues = (replace(q, retry_delays_s=delays) if q.name == name else q for q in PLAN.queues)
    return replace(PLAN, queues=tuple(queues))


def publish(target: Target, queue: str) -> None:
    """Put a message into a queue by the default exchange."""
    message = {"properties": {}, "routing_key": queue, "payload": "{}", "payload_encoding": "string"}
    with target.client() as client:
        answer = client.post(f"/api/exchanges/{VHOST}/amq.default/publish", json=message)
        assert answer.raise_for_status().json() == {"routed": True}


def names(target: Target, kind: str) -> set[str]:
    with target.client() as client:
        return {each["name"] for each in client.get(f"/api/{kind}/{VHOST}").raise_for_status().json()}


def test_retries_that_the_plan_no_longer_has_go_when_they_are_empty(target: Target) -> None:
    other = with_delays("task.read", 1, 10)
    # With the users, whose rights name the retry queues.
    broker_plan.apply(target, other, {service.name: "a-password" for service in PLAN.services}, nodes=1)
    found = broker_plan.differences(target, other)
    surplus = {" / ".join(each.name) for each in found if each.kind == "queues"}
    assert surplus == {"task.read.retry.2s", "task.read.retry.4s"}
    assert all(each.surplus for each in found)
    outcome = remove_surplus(target, other, found)
    assert outcome.left == ()
    assert broker_plan.differences(target, other) == []
    assert "task.read.retry.10s" in names(target, "queues")
    assert not {"task.read.retry.2s", "task.read.retry.4s"} & (
        names(target, "queues") | names(target, "policies")
    )


def test_a_queue_that_holds_a_message_stays_with_all_that_belongs_to_it(target: Target) -> None:
    without = replace(PLAN, queues=tuple(q for q in PLAN.queues if q.name != "task.confirmed"))
    publish(target, "task.confirmed")
    found = broker_plan.differences(target, without)
    outcome = remove_surplus(target, without, found)
    left = {" / ".join(each.name): why for each, why in outcome.left}
    assert left["task.confirmed"] == "it holds messages (1)"
    assert left["task.confirmed.dlq"] == left["task.confirmed.retry.1s"] == "task.confirmed is left"
    assert not [each for each in outcome.removed if each.name[0].startswith("task.confirmed")]
    assert "laundry.events / task.confirmed / task.confirmed" in left, "it goes on to be filled"
    with target.client() as client:
        client.delete(f"/api/queues/{VHOST}/task.confirmed/contents").raise_for_status()
    again = remove_surplus(target, without, broker_plan.differences(target, without))
    assert not {name for name in names(target, "queues") if name.startswith("task.confirmed")}
    # Somebody's rights are nobody's leftover.
    assert {each.kind for each, _ in again.left} <= {"permissions", "topic_permissions"}


def test_exchanges_that_nobody_uses_go_and_rights_stay(target: Target) -> None:
    with target.client() as client:
        client.put(f"/api/exchanges/{VHOST}/idle", json={"type": "topic"}).raise_for_status()
        client.put("/api/users/guest-of-ours", json={"password": "x", "tags": ""}).raise_for_status()
        grant = {"configure": "", "write": "", "read": ".*"}
        client.put(f"/api/permissions/{VHOST}/guest-of-ours", json=grant).raise_for_status()
    outcome = remove_surplus(target, PLAN, broker_plan.differences(target, PLAN))
    assert {each.name[0] for each in outcome.removed} == {"idle"}
    assert [(each.kind, each.name) for each, _ in outcome.left] == [("permissions", ("guest-of-ours",))]
    with target.client() as client:
        client.delete("/api/users/guest-of-ours").raise_for_status()
