"""What an event says, and what became of it: the rules."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from laundry.history import effects
from laundry.history.effects import Effects, Places, claim_name, effects_of
from laundry.history.log import Happening
from laundry.history.words import words
from laundry_events import new_id
from laundry_events.event import Event
from laundry_events.events import EquipmentFault, TaskConfirmed, TaskRead
from laundry_events.plan import Plan
from laundry_events.topology import PLAN

from .task_events import NOW, confirmed, read, submitted


def happened(event: Event, *, age: timedelta = timedelta(minutes=1)) -> Happening:
    return Happening(new_id(), event, datetime.now(UTC) - age, "tests", {})


@pytest.mark.parametrize(
    ("service", "event", "name"),
    [("mlops", TaskConfirmed, "mlops.task-confirmed"), ("helper", TaskRead, "helper.task-read")],
)
def test_inboxes_are_known_by_service_and_event(service: str, event: type[Event], name: str) -> None:
    assert claim_name(service, event.event_type) == name


def test_an_event_says_who_did_what_and_why() -> None:
    assert words(confirmed("t1")) == ("kim", "2× shirt", "read as 1× pants 70%")
    assert words(submitted("t1")) == ("lee", "a photo of 2 KiB", "")
    fault = EquipmentFault(
        fault_id="f",
        equipment_id="washer-3",
        branch_id="b1",
        kind="washer",
        cause="limit",
        metric="temperature",
        value=98.5,
        limit=90,
        detected_at=NOW,
    )
    assert words(fault) == ("washer-3", "washer failed", "temperature is 98.5, its limit 90")


async def found(
    happenings: list[Happening], *, waiting: int = 0, dead: frozenset[str] = frozenset(), held: int = 0
) -> Effects:
    """What became of photos that were submitted; only their readings tell, so no database is asked."""

    async def totals() -> dict[str, int]:
        return {"task.submitted": waiting, "task.submitted.dlq": len(dead) + held}

    async def dead_in(queue: str) -> tuple[set[str], int]:
        return set(dead), len(dead)

    plan = Plan(queues=(PLAN.queue("task.submitted"),), services=())
    return await effects_of([each.outline for each in happenings], Places({}, totals, dead_in, plan))


@pytest.fixture
def no_discards(monkeypatch: pytest.MonkeyPatch) -> None:
    async def none(*_: Any) -> set[str]:
        return set()

    monkeypatch.setattr(effects, "_discarded", none)


@pytest.mark.usefixtures("no_discards")
async def test_what_has_no_answer_is_unhandled_unless_it_may_wait_or_is_new_or_long_ago() -> None:
    done, dead, old, lost, last = (happened(submitted(f"t{number}")) for number in range(5))
    new = happened(submitted("t5"), age=timedelta(seconds=1))
    forgotten = happened(submitted("t6"), age=timedelta(days=13, hours=1))
    happenings = [forgotten, done, happened(read("t0")), dead, old, lost, last, new]

    async def states(waiting: int) -> dict[str, str]:
        seen = await found(happenings, waiting=waiting, dead=frozenset({dead.id}))
        return {id_: state for (_, id_), state in seen.states.items()}

    assert await states(0) == {
        done.id: "done",
        dead.id: "dead",
        forgotten.id: "unknown",
        old.id: "unhandled",
        lost.id: "unhandled",
        last.id: "unhandled",
        new.id: "recent",
    }
    # Two messages wait, so two of the four are no loss, whichever they are.
    seen = await states(2)
    assert [seen[each.id] for each in (old, lost, last, new)] == ["unhandled", "unhandled", "waits", "waits"]


@pytest.mark.usefixtures("no_discards")
async def test_what_may_be_among_dead_letters_that_somebody_else_holds_is_not_known_to_be_lost() -> None:
    dead, lost, last = (happened(submitted(f"t{number}")) for number in range(3))
    seen = await found([dead, lost, last], waiting=1, dead=frozenset({dead.id}), held=1)
    states = {id_: state for (_, id_), state in seen.states.items()}
    assert states == {dead.id: "dead", lost.id: "unknown", last.id: "waits"}
    assert not seen.unhandled
    assert ("task.submitted", lost.id) in seen.excused, "it is looked at again"
