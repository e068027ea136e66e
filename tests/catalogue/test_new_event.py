"""The guide to a new event says all there is to do: its changes are made in a copy, and it works."""

from typing import Any

import pytest

from laundry_testing.messaging import eventually
from tests.catalogue import guides
from tests.catalogue.checkout import ROOT, Checkout
from tests.catalogue.conftest import NAME

pytestmark = pytest.mark.timeout(400)

GUIDE = ROOT / "docs" / "how-to" / "add-an-event.md"
MADE = {
    "README.md",
    "deploy/helm/laundry/files/definitions.json",
    "docs/api/events.asyncapi.json",
    "libs/events/src/laundry_events/schemas/EquipmentRetired.v1.json",
}
"""What ``make contracts`` writes."""
PRODUCER, CONSUMER = "services/monitoring/", f"services/{NAME}/"
SAMPLE = {
    "equipment_id": "washer-1",
    "branch_id": "b1",
    "kind": "washer",
    "recorded_at": "2026-05-01T12:00:00Z",
    "fault_code": "E21",
    "metrics": {},
}


@pytest.fixture(scope="module")
def with_event(with_service: Checkout) -> Checkout:
    """A copy with one service and one event more."""
    checkout = Checkout.of(with_service.root, with_service.root.parent / "with-event")
    guides.apply(GUIDE, checkout.root)
    checkout.contracts()
    return checkout


def test_nothing_is_touched_but_the_event_the_topology_and_both_sides(
    with_service: Checkout, with_event: Checkout
) -> None:
    changed = with_event.changed_from(with_service.root) - MADE
    both_sides = {name for name in changed if name.startswith((PRODUCER, CONSUMER))}
    assert changed - both_sides == {
        "libs/events/src/laundry_events/events.py",
        "libs/events/src/laundry_events/topology.py",
        "libs/events/tests/messages/EquipmentRetired.v1.json",
    }
    assert len([name for name in both_sides if name.startswith(PRODUCER)]) == 1


def test_it_passes_lint_types_and_the_promise_of_events(with_service: Checkout, with_event: Checkout) -> None:
    changed = with_event.changed_from(with_service.root)
    sources = sorted(name for name in changed if name.endswith(".py"))
    with_event.run("ruff", "format", "--check", *sources)
    with_event.run("ruff", "check", *sources)
    with_event.run("mypy", "libs/events/src", f"{PRODUCER}src", f"{CONSUMER}src", timeout_s=300)
    tests = ("libs/events/tests/test_schemas.py", "libs/catalogue/tests")
    with_event.run("pytest", "-n0", "-q", "-p", "no:randomly", *tests)


@pytest.mark.servers
async def test_a_running_stack_counts_a_fault_and_forgets_a_retired_machine(with_event: Checkout) -> None:
    async with with_event.stack("monitoring", NAME) as (services, people):
        washer, owner = people.person("device", "washer-1", "b1"), people.person("owner", "owner-1", "b1")
        operator = people.person("operator", "operator-1")
        at = f"/{NAME}?branch_id=b1"

        async def machines() -> list[dict[str, Any]]:
            items: list[dict[str, Any]] = (await services.json("GET", "worn_machines", at, who=owner))[
                "items"
            ]
            return items

        await services.call("POST", "monitoring", "/telemetry", who=washer, json={"samples": [SAMPLE]})
        (machine,) = await eventually(machines, what="the machine that failed")
        assert (machine["equipment_id"], machine["faults"]) == ("washer-1", 1)

        await services.call("DELETE", "monitoring", "/equipment/washer-1?branch_id=b1", who=operator)

        async def forgotten() -> bool:
            return await machines() == []

        await eventually(forgotten, what="the retired machine's end")
