"""Whom an event names: found wherever it stands, and replaced without touching anything else."""

import re
from datetime import UTC, datetime

import pytest
from pydantic import BaseModel

from laundry_events.event import Event, NamesAPerson, people_in, with_people
from laundry_events.events import EVENTS, PreferenceCreated, PreferenceMatch

MAY_NAME_A_PERSON = re.compile(r"(.*_)?(by|user_id|helper_id|owner_id|customer_id|person_id|sub|email|name)")
# What looks so and holds no person.
NOBODY = {("ModelPromoted", "promoted_by"): "a word of ours, or a training run"}


def models_of(model: type[BaseModel]) -> set[type[BaseModel]]:
    """An event, and what it is made of."""
    found = {model}
    for field in model.model_fields.values():
        for part in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(part, type) and issubclass(part, BaseModel):
                found |= models_of(part)
    return found


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.event_type)
def test_every_field_that_may_name_a_person_is_marked(event: type[Event]) -> None:
    for model in models_of(event):
        for name, field in model.model_fields.items():
            marked = any(isinstance(mark, NamesAPerson) for mark in field.metadata)
            may = bool(MAY_NAME_A_PERSON.fullmatch(name)) and (model.__name__, name) not in NOBODY
            assert marked == may, (model.__name__, name)


def test_everybody_in_a_list_is_found_and_replaced() -> None:
    stated = PreferenceCreated(
        preference_id="p1",
        branch_id="b1",
        title="kim",
        text="Quiet.",
        tags={"kim": 1.0},
        matches=[PreferenceMatch(customer_id=who, score=0.5, reasons=["kim"]) for who in ("kim", "lee")],
        created_at=datetime.now(UTC),
    )
    assert people_in(stated) == {"kim", "lee"}
    changed = with_people(stated, lambda who: f"person-{who}")
    assert [match.customer_id for match in changed.matches] == ["person-kim", "person-lee"]
    assert with_people(changed, lambda who: who.removeprefix("person-")) == stated
