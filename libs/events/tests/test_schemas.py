import copy
import json
from typing import Any

import jsonschema
import pytest

from laundry_events.event import Event
from laundry_events.events import EVENTS
from laundry_events.schemas import breaking_changes, path_of, schema_of

NAMES = [event.event_type for event in EVENTS]


@pytest.mark.parametrize("event", EVENTS, ids=NAMES)
def test_the_committed_schema_is_the_events(event: type[Event]) -> None:
    committed = json.loads(path_of(event).read_text())
    assert breaking_changes(committed, schema_of(event)) == []
    assert committed == schema_of(event), "run `make contracts`"


def test_messages_of_the_past_are_still_read() -> None:
    from pathlib import Path

    samples = sorted((Path(__file__).parent / "messages").glob("*.json"))
    assert {path.name.split(".")[0] for path in samples} == set(NAMES)
    by_name = {f"{event.event_type}.v{event.version}": event for event in EVENTS}
    for path in samples:
        event = by_name[".".join(path.name.split(".")[:2])]
        message = json.loads(path.read_text())
        event.model_validate(message)
        jsonschema.validate(message, json.loads(path_of(event).read_text()))


def changed(**edit: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    old = {
        "type": "object",
        "properties": {
            "a": {"type": "string"},
            "b": {"type": "integer", "minimum": 1},
            "c": {"$ref": "#/$defs/C"},
        },
        "required": ["a"],
        "$defs": {"C": {"type": "object", "properties": {"x": {"enum": ["p", "q"]}}, "required": ["x"]}},
    }
    new = copy.deepcopy(old)
    for path, value in edit.items():
        target: Any = new
        *parents, last = path.split("__")
        for parent in parents:
            target = target[parent.replace("D_", "$")]
        if value is None:
            del target[last]
        else:
            target[last] = value
    return old, new


@pytest.mark.parametrize(
    "edit",
    [
        {},
        {"properties__d": {"type": "string"}},
        {"properties__b": None},
        {"properties__a": {"type": "string", "description": "said better"}},
    ],
)
def test_a_harmless_change_passes(edit: dict[str, Any]) -> None:
    assert breaking_changes(*changed(**edit)) == []


@pytest.mark.parametrize(
    "edit",
    [
        {"required": ["a", "b"]},
        {"required": []},
        {"properties__a": {"type": "integer"}},
        {"properties__b": {"type": "integer", "minimum": 5}},
        {"properties__b": {"type": "integer"}},
        {"D_defs__C__properties__x": {"enum": ["p", "q", "r"]}},
        {"D_defs__C__required": []},
    ],
)
def test_a_change_that_old_messages_or_readers_would_not_survive_is_refused(edit: dict[str, Any]) -> None:
    assert breaking_changes(*changed(**edit))
