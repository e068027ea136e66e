"""The AsyncAPI 3 document of the whole system, generated from the plan and the events."""

from collections.abc import Sequence
from typing import Any

from laundry_events.envelope import CONTENT_TYPE, PREFIX
from laundry_events.event import Event
from laundry_events.plan import (
    EVENTS_EXCHANGE,
    REPLIES_EXCHANGE,
    REQUEST_TTL_MS,
    REQUESTS_EXCHANGE,
    Plan,
    Queue,
    RequestQueue,
)
from laundry_events.schemas import schema_of

REF = "#/components/schemas/"


def _message(event: type[Event]) -> dict[str, Any]:
    attributes = ("specversion", "id", "source", "type", "time", "subject", "dataschema")
    headers = {PREFIX + name: {"type": "string"} for name in attributes}
    headers["traceparent"] = {"type": "string"}
    schema = schema_of(event)
    return {
        "name": event.event_type,
        "title": f"{event.event_type} version {event.version}",
        "summary": (event.__doc__ or "").strip().split("\n")[0],
        "contentType": CONTENT_TYPE,
        "headers": {
            "type": "object",
            "required": [PREFIX + n for n in attributes[:4]],
            "properties": headers,
        },
        "payload": {"$ref": f"{REF}{event.event_type}"},
        "x-schema-id": schema["$id"],
    }


def _channel(queue: Queue, events: Sequence[type[Event]]) -> dict[str, Any]:
    binding = {
        "is": "queue",
        "queue": {"name": queue.name, "durable": True, "exclusive": False, "autoDelete": False},
        "bindingVersion": "0.3.0",
    }
    channel: dict[str, Any] = {
        "address": queue.name,
        "description": queue.purpose,
        "bindings": {"amqp": binding},
        "x-queue-type": queue.kind,
        "x-exchange": queue.exchange,
        "x-routing-keys": list(queue.keys),
    }
    if queue.dead:
        channel["x-retry-delays-seconds"] = list(queue.retry_delays_s)
        channel["x-max-attempts"] = queue.max_attempts
        channel["x-dead-letter-queue"] = queue.dead
    if events:
        channel["messages"] = {
            event.event_type: {"$ref": f"#/components/messages/{event.event_type}"} for event in events
        }
    return channel


def _requests(queue: RequestQueue) -> dict[str, Any]:
    """Describe a queue of requests: bytes with ``reply_to`` and ``correlation_id``, answered in JSON."""
    binding = {
        "is": "queue",
        "queue": {"name": queue.name, "durable": True, "exclusive": False, "autoDelete": False},
        "bindingVersion": "0.3.0",
    }
    return {
        "address": queue.name,
        "description": queue.purpose,
        "bindings": {"amqp": binding},
        "x-queue-type": "quorum",
        "x-exchange": REQUESTS_EXCHANGE,
        "x-routing-keys": [queue.name],
        "x-replies-exchange": REPLIES_EXCHANGE,
        "x-message-ttl-milliseconds": REQUEST_TTL_MS,
    }


def _hoisted(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    for name, definition in schema.pop("$defs", {}).items():
        schemas[name] = _renamed(definition)
    schema.pop("$schema", None)
    schema.pop("$id", None)
    renamed: dict[str, Any] = _renamed(schema)
    return renamed


def _renamed(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            k: v.replace("#/$defs/", REF) if k == "$ref" and isinstance(v, str) else _renamed(v)
            for k, v in value.items()
        }
    return [_renamed(item) for item in value] if isinstance(value, list) else value


def asyncapi(plan: Plan, events: Sequence[type[Event]], *, title: str, version: str) -> dict[str, Any]:
    """Return the document: channels are queues, operations are who publishes and who consumes."""
    by_key = {event.routing_key: event for event in events}
    schemas: dict[str, Any] = {}
    for event in events:
        schemas[event.event_type] = _hoisted(schema_of(event), schemas)
    operations: dict[str, Any] = {}
    for service in plan.services:
        for key in service.publishes:
            operations[f"{service.name} publishes {key}"] = {
                "action": "send",
                "channel": {"$ref": f"#/channels/{key}"},
            }
        for queue in plan.consumed_by(service.name):
            operations[f"{service.name} consumes {queue.name}"] = {
                "action": "receive",
                "channel": {"$ref": f"#/channels/{queue.name}"},
            }
    for each in plan.requests:
        to = {"channel": {"$ref": f"#/channels/{each.name}"}}
        operations[f"{each.asked_by} asks {each.name}"] = {"action": "send", **to}
        operations[f"{each.answered_by} answers {each.name}"] = {"action": "receive", **to}
    channels = {
        queue.name: _channel(queue, [by_key[key] for key in queue.keys if key in by_key])
        for queue in plan.queues
    }
    channels |= {each.name: _requests(each) for each in plan.requests}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": title,
            "version": version,
            "description": "CloudEvents 1.0 in binary style on AMQP 0-9-1; topic exchange "
            f"{EVENTS_EXCHANGE}.",
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": {event.event_type: _message(event) for event in events},
            "schemas": schemas,
        },
    }
