"""The plan is applied to a real broker, and every way of departing from it is found."""

from collections.abc import Iterator

import pytest

from laundry_events import broker_plan
from laundry_events.broker_plan import Target
from laundry_events.errors import PlanRefused
from laundry_events.topology import PLAN, VHOST
from laundry_servers.addresses import BrokerAddress

pytestmark = pytest.mark.servers


@pytest.fixture
def target(rabbitmq: BrokerAddress) -> Iterator[Target]:
    """A broker that follows the plan, in the plan's own virtual host; users are of the whole broker."""
    found = Target(rabbitmq.management_url, rabbitmq.username, rabbitmq.password)
    passwords = {service.name: f"password-of-{service.name}" for service in PLAN.services}
    broker_plan.apply(found, passwords, nodes=1)
    yield found
    with found.client() as client:
        client.delete(f"/api/vhosts/{VHOST}").raise_for_status()
        for name in passwords:
            client.delete(f"/api/users/{name}")


def test_a_broker_with_the_plan_agrees_with_it_however_often_it_is_applied(target: Target) -> None:
    assert broker_plan.differences(target) == []
    broker_plan.apply(target, None, nodes=1)
    assert broker_plan.differences(target) == []


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
    found = "\n".join(broker_plan.differences(target))
    for expected in (
        "queues: task.read.dlq is missing",
        "bindings: laundry.events / task.read / task.read is missing",
        "queues: stray is not in the plan",
        "permissions: search: configure",
        "policies: equipment.fault: definition",
        "the user helper is missing",
    ):
        assert expected in found, found
    with target.client() as client:
        client.delete(f"/api/queues/{VHOST}/stray").raise_for_status()
    broker_plan.apply(target, {service.name: "other-password" for service in PLAN.services}, nodes=1)
    assert broker_plan.differences(target) == []


def test_a_broker_without_the_plan_and_a_wrong_password_are_told_apart(rabbitmq: BrokerAddress) -> None:
    known = Target(rabbitmq.management_url, rabbitmq.username, rabbitmq.password)
    assert broker_plan.differences(known) == [f"the virtual host {VHOST} is missing"]
    stranger = Target(rabbitmq.management_url, rabbitmq.username, "wrong")
    with pytest.raises(PlanRefused, match="401"):
        broker_plan.differences(stranger)
