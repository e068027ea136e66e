"""A part of the plan holds what one service consumes and publishes to."""

import pytest

from laundry_events.topology import PLAN

ERASURES = {
    "person.erased",
    "person.erased.identity",
    "person.erased.mlops",
    "person.erased.monitoring",
    "person.erased.notification",
    "person.erased.search",
}


@pytest.mark.parametrize(
    ("service", "queues"),
    [
        (
            "helper",
            {
                "task.submitted",
                "task.read",
                "task.confirmed",
                "photo.deleted",
                "person.erased",
                "person.forgotten",
            },
        ),
        ("ai-consumer", {"task.submitted", "task.read", "model.promoted"}),
        ("operations", {*ERASURES, "person.forgotten", "history.intake", "laundry.history"}),
        (
            "notification",
            {
                "equipment.fault",
                "equipment.fault.acknowledged",
                "preference.created",
                "preference.withdrawn",
                "person.erased.notification",
                "person.forgotten",
            },
        ),
    ],
)
def test_a_service_touches_the_queues_that_it_consumes_and_publishes_to(
    service: str, queues: set[str]
) -> None:
    part = PLAN.around(service)
    assert {queue.name for queue in part.queues} == queues
    assert part.services == PLAN.services


def test_an_unknown_service_is_an_error() -> None:
    with pytest.raises(KeyError, match="nobody"):
        PLAN.around("nobody")
