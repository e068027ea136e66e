"""Typed events, the broker topology and reliable publishing and consuming."""

from laundry_events.consumer import EventConsumer, make_broker
from laundry_events.envelope import EventMeta
from laundry_events.errors import (
    BrokerUnavailable,
    DrillError,
    EventTooLarge,
    MalformedMessage,
    PermanentError,
    PublishError,
    Refused,
    UnknownEvent,
    Unroutable,
)
from laundry_events.ids import new_id
from laundry_events.inbox import first_time
from laundry_events.outbox import Outbox
from laundry_events.publisher import Publisher
from laundry_events.relay import Relay

__all__ = [
    "BrokerUnavailable",
    "DrillError",
    "EventConsumer",
    "EventMeta",
    "EventTooLarge",
    "MalformedMessage",
    "Outbox",
    "PermanentError",
    "PublishError",
    "Publisher",
    "Refused",
    "Relay",
    "UnknownEvent",
    "Unroutable",
    "first_time",
    "make_broker",
    "new_id",
]
