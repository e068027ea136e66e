"""Typed events, the broker topology and reliable publishing and consuming.

Each name is imported when it is first asked for: who only publishes, or only reads the plan, does not pay
tens of megabytes for the rest.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from laundry_events.broker import make_broker
    from laundry_events.consumer import EventConsumer
    from laundry_events.envelope import EventMeta
    from laundry_events.errors import (
        BrokerUnavailable,
        DrillError,
        EventTooLarge,
        MalformedMessage,
        NotNow,
        PermanentError,
        PublishError,
        Refused,
        UnknownEvent,
        Unroutable,
    )
    from laundry_events.gate import Need
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
    "Need",
    "NotNow",
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

_HOME = {
    "BrokerUnavailable": "errors",
    "DrillError": "errors",
    "EventConsumer": "consumer",
    "EventMeta": "envelope",
    "EventTooLarge": "errors",
    "MalformedMessage": "errors",
    "Need": "gate",
    "NotNow": "errors",
    "Outbox": "outbox",
    "PermanentError": "errors",
    "PublishError": "errors",
    "Publisher": "publisher",
    "Refused": "errors",
    "Relay": "relay",
    "UnknownEvent": "errors",
    "Unroutable": "errors",
    "first_time": "inbox",
    "make_broker": "broker",
    "new_id": "ids",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module."""
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"laundry_events.{home}"), name)
    globals()[name] = found
    return found
