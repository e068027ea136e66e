"""CloudEvents 1.0 in binary style on AMQP 0-9-1: the body is JSON, the attributes are headers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from opentelemetry import propagate
from pydantic import ValidationError

from laundry_events.errors import EventTooLarge, MalformedMessage, UnknownEvent
from laundry_events.event import Event
from laundry_events.headers import REPLAYED, attribute
from laundry_events.ids import new_id
from laundry_events.moments import read_moment

MAX_MESSAGE_BYTES = 64 * 1024
CONTENT_TYPE = "application/json"
PREFIX = "cloudEvents_"
SCHEMA_PREFIX = "urn:laundry:schema:"

E = TypeVar("E", bound=Event)


@dataclass(frozen=True)
class OutgoingEvent:
    """An encoded event, ready for the broker or for an outbox row."""

    id: str
    routing_key: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class EventMeta:
    """What is known about a message in addition to its body."""

    id: str
    type: str
    source: str
    subject: str | None
    time: datetime | None
    version: int
    queue: str
    routing_key: str
    attempt: int = 1
    redelivered: bool = False
    headers: Mapping[str, Any] = field(default_factory=dict)

    @property
    def replayed(self) -> bool:
        """Whether it is told again from the history: its effect outside of the service is not wanted."""
        return REPLAYED in self.headers


def dataschema(event: type[Event]) -> str:
    """Name the schema of an event version, as ``cloudEvents_dataschema`` carries it."""
    return f"{SCHEMA_PREFIX}{event.event_type}:{event.version}"


def encode(event: Event, *, source: str, event_id: str | None = None) -> OutgoingEvent:
    """Encode an event with its CloudEvents headers and the current trace context.

    Args:
        source: the publishing service, as ``cloudEvents_source`` (a URI reference, e.g. ``/helper``).
        event_id: a fixed id where the same fact may be published twice (a replayed reading); else a new one.

    Raises:
        EventTooLarge: the body and its headers exceed 64 KiB.
    """
    identifier = event_id or new_id()
    headers = {
        f"{PREFIX}specversion": "1.0",
        f"{PREFIX}id": identifier,
        f"{PREFIX}source": source,
        f"{PREFIX}type": event.event_type,
        f"{PREFIX}time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        f"{PREFIX}subject": event.subject,
        f"{PREFIX}dataschema": dataschema(type(event)),
    }
    propagate.inject(headers)
    body = event.model_dump_json().encode()
    size = len(body) + sum(len(k) + len(v.encode()) for k, v in headers.items())
    if size > MAX_MESSAGE_BYTES:
        raise EventTooLarge(f"{event.event_type} is {size} bytes; a message is at most {MAX_MESSAGE_BYTES}")
    return OutgoingEvent(identifier, event.routing_key, headers, body)


def _text(headers: Mapping[str, Any], name: str) -> str | None:
    return attribute(headers.get(PREFIX + name, headers.get("cloudEvents:" + name)))


def _version(headers: Mapping[str, Any], event_type: str) -> int:
    schema = _text(headers, "dataschema")
    if schema is None:
        raise MalformedMessage("the header cloudEvents_dataschema is missing")
    name, _, version = schema.removeprefix(SCHEMA_PREFIX).rpartition(":")
    if not schema.startswith(SCHEMA_PREFIX) or name != event_type or not version.isdecimal():
        raise UnknownEvent(f"the schema {schema[:200]!r} is none of {event_type}'s")
    return int(version)


def read_meta(headers: Mapping[str, Any], *, queue: str, routing_key: str, redelivered: bool) -> EventMeta:
    """Read the CloudEvents attributes of a message.

    Raises:
        MalformedMessage: an attribute that CloudEvents requires is missing.
        UnknownEvent: the schema header names no version of this type.
    """
    required = {name: _text(headers, name) for name in ("specversion", "id", "source", "type")}
    missing = [PREFIX + name for name, value in required.items() if not value]
    if missing:
        raise MalformedMessage(f"CloudEvents headers are missing: {', '.join(missing)}")
    if required["specversion"] != "1.0":
        raise MalformedMessage(f"CloudEvents {required['specversion']!r} is not 1.0")
    time_text = _text(headers, "time")
    try:
        time = read_moment(time_text) if time_text else None
    except ValueError as error:
        raise MalformedMessage(f"cloudEvents_time is no RFC 3339 time: {time_text!r}") from error
    event_type = str(required["type"])
    return EventMeta(
        id=str(required["id"]),
        type=event_type,
        source=str(required["source"]),
        subject=_text(headers, "subject"),
        time=time,
        version=_version(headers, event_type),
        queue=queue,
        routing_key=routing_key,
        attempt=attempt_of(headers),
        redelivered=redelivered,
        headers=headers,
    )


def attempt_of(headers: Mapping[str, Any]) -> int:
    """Return the attempt number of this delivery, 1 for the first (header ``x-attempt``)."""
    value = headers.get("x-attempt", 1)
    return value if isinstance(value, int) and value >= 1 else 1


def decode_any(body: bytes, meta: EventMeta, events: Mapping[str, type[Event]]) -> Event:
    """Check and parse a body as whichever event its envelope says, of those given by type.

    Raises:
        UnknownEvent, MalformedMessage: as ``decode``.
    """
    expected = events.get(meta.type)
    if expected is None:
        raise UnknownEvent(f"{meta.queue} does not know {meta.type[:100]!r}")
    return decode(body, meta, expected)


def decode(body: bytes, meta: EventMeta, expected: type[E]) -> E:
    """Check and parse a body as the event that this reader expects.

    Raises:
        UnknownEvent: another type or a version that this reader does not know.
        MalformedMessage: not JSON, or JSON that is not this event.
    """
    if meta.type != expected.event_type:
        raise UnknownEvent(f"{meta.queue} takes {expected.event_type}, not {meta.type[:100]!r}")
    if meta.version != expected.version:
        raise UnknownEvent(
            f"{meta.type} version {meta.version} is not known here (known: {expected.version})"
        )
    try:
        return expected.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise MalformedMessage(f"{meta.type}: {where}: {first['msg']}") from error
