"""A part of the plan holds what one service consumes and publishes to."""

import pytest

from laundry_events.topology import PLAN


@pytest.mark.parametrize(
    ("service", "queues"),
    [
        ("helper", {"task.submitted", "task.read", "task.confirmed", "photo.deleted", "person.erased"}),
        ("ai-consumer", {"task.submitted", "task.read", "model.promoted"}),
        ("monitoring", {"telemetry.reported", "equipment.fault", "equipment.fault.acknowledged"}),
        ("search", {"preference.created", "preference.withdrawn"}),
        (
            "notification",
            {
                "equipment.fault",
                "equipment.fault.acknowledged",
                "preference.created",
                "preference.withdrawn",
            },
        ),
    ],
)
def test_a_service_touches_the_queues_that_it_consumes_and_publishes_to(
    service: str, queues: set[str]
) -> None:
    part = PLAN.around(service)
    people = {"person.forgotten", f"person.erased.{service}"} if service != "ai-consumer" else set()
    people -= {"person.erased.helper"}
    assert {queue.name for queue in part.queues} == queues | people
    assert part.services == PLAN.services


def test_an_unknown_service_is_an_error() -> None:
    with pytest.raises(KeyError, match="nobody"):
        PLAN.around("nobody")
