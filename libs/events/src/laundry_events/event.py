"""What every event is: a frozen body whose class says its name, version and routing key."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


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
