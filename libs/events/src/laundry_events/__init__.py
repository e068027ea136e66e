"""Typed events, the broker topology and reliable publishing and consuming.

Each name is imported when it is first asked for: who only publishes, or only reads the plan, does not pay
tens of megabytes for the rest.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from laundry_events.broker import make_broker
    from laundry_events.circuit_breaker import Dependency
    from laundry_events.consumer import EventConsumer
    from laundry_events.envelope import EventMeta
    from laundry_events.errors import (
        BrokerUnavailable,
        DrillError,
        EventTooLarge,
        MalformedMessage,
        PermanentError,
        PublishError,
        Refused,
        RequeueMessage,
        UnknownEvent,
        Unroutable,
    )
    from laundry_events.ids import new_id
    from laundry_events.inbox import claim_once
    from laundry_events.outbox import Outbox
    from laundry_events.publisher import Publisher
    from laundry_events.relay import Relay

__all__ = [
    "BrokerUnavailable",
    "Dependency",
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
    "RequeueMessage",
    "UnknownEvent",
    "Unroutable",
    "claim_once",
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
    "Dependency": "circuit_breaker",
    "RequeueMessage": "errors",
    "Outbox": "outbox",
    "PermanentError": "errors",
    "PublishError": "errors",
    "Publisher": "publisher",
    "Refused": "errors",
    "Relay": "relay",
    "UnknownEvent": "errors",
    "Unroutable": "errors",
    "claim_once": "inbox",
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
