"""What every event is: a frozen body whose class says its name, version and routing key."""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict


class NamesAPerson:
    """Marks a field that holds who a person is."""


PersonId = Annotated[str, NamesAPerson()]
"""The ``sub`` of somebody's tokens. What is kept for long holds another word in its place."""

P = TypeVar("P", bound="Part")


class Part(BaseModel):
    """A nested object in an event's body."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Event(Part):
    """An event's body. Its name, version and routing key belong to the class."""

    event_type: ClassVar[str]
    version: ClassVar[int] = 1
    routing_key: ClassVar[str]

    @property
    def subject(self) -> str:
        """The id of the thing this event is about (CloudEvents ``subject``)."""
        raise NotImplementedError


def with_people(part: P, replaced: Callable[[str], str]) -> P:
    """Return a copy of an event in which every person, wherever named, is replaced."""
    return part.model_copy(update={name: _replaced(part, name, replaced) for name in type(part).model_fields})


def people_in(part: Part) -> set[str]:
    """Return every person whom an event names."""
    found: set[str] = set()

    def note(person: str) -> str:
        found.add(person)
        return person

    with_people(part, note)
    return found


def _replaced(part: Part, name: str, replaced: Callable[[str], str]) -> Any:
    value = getattr(part, name)
    if isinstance(value, str):
        marks = type(part).model_fields[name].metadata
        return replaced(value) if any(isinstance(mark, NamesAPerson) for mark in marks) else value
    if isinstance(value, Part):
        return with_people(value, replaced)
    if isinstance(value, list):
        return [with_people(each, replaced) if isinstance(each, Part) else each for each in value]
    return value
