"""What a copy of a message may carry: an allow-list, in types that every broker takes.

A message may fail because of what a stranger put into it, so nothing foreign is copied verbatim: the
broker acts on some headers (``CC`` and ``BCC`` add recipients), refuses others by closing the channel, and a
value may be of a type that cannot be encoded at all. Foreign headers are kept for people to read, as text in
one header.
"""

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

ATTEMPT = "x-attempt"
DEFERRED = "x-put-off"
DELIVERIES = "x-deliveries"
DELIVERY_COUNT = "x-delivery-count"
"""The broker's count of deliveries that ended without an answer; of a dead letter, it is ``DELIVERIES``."""

FIRST_FAILED_AT = "x-first-failed-at"
ARRIVED_AT = "x-arrived-at"
TAKEN_MS = "timestamp_in_ms"
"""The broker's own word of when it took a message (``message_interceptors.incoming.set_header_timestamp``).
Of a copy it is the moment of the copying, so the first one travels as ``ARRIVED_AT``.
"""

ORIGINAL_KEY = "x-original-routing-key"
REDRIVEN = "x-redriven"
DRILL = "x-drill"
REPLAYED = "x-replayed"
"""It has happened before and is told again from the history: nobody outside is to hear of it."""

TRACE_LINK = "x-trace-link"
"""The span that made a copy, as W3C's ``traceparent``."""

SIGNATURE = "x-letter-signature"
FOREIGN = "x-foreign-headers"
LEFT_OUT = "x-headers-left-out"
UNDECODED = "x-undecoded"

# The broker adds these when it moves a message; a copy starts its own history.
BROKER_HEADERS = ("x-death", "x-first-death-", "x-last-death-", DELIVERY_COUNT, "x-acquired-count")

SHORT_BYTES = 255
"""Longest text of an AMQP property."""

FOREIGN_CHARS = 16 * 1024
"""All foreign headers together. With our own they travel in one frame, at most 128 KiB: the broker closes the
connection of a client that sends more.
"""

VALUE_CHARS = 1_000
DEEPEST = 4
MOST_ITEMS = 100
ATTRIBUTE = re.compile(r"cloudEvents[_:][a-z0-9]{1,20}")
ATTRIBUTE_BYTES = 2_048
ALL_ATTRIBUTES_BYTES = 32 * 1024
LARGEST_COUNT = 1_000_000
COUNTS = frozenset({ATTEMPT, "x-attempts", DEFERRED, DELIVERIES, REDRIVEN, LEFT_OUT, "x-body-bytes"})
TEXTS = {
    "traceparent": 128,
    "tracestate": 1_024,
    "baggage": 4_096,
    TRACE_LINK: 64,
    DRILL: 64,
    REPLAYED: 64,
    FIRST_FAILED_AT: 64,
    ARRIVED_AT: 64,
    "x-last-failed-at": 64,
    "x-error-class": 256,
    "x-error-message": 4_096,
    "x-error-digest": 64,
    "x-service": 128,
    "x-service-version": 128,
    "x-original-queue": SHORT_BYTES,
    ORIGINAL_KEY: SHORT_BYTES,
    "x-dead-reason": 256,
    "x-redriven-by": 512,
    "x-redriven-at": 64,
    "x-redrive-reason": 4_096,
    "x-body-sha256": 64,
    SIGNATURE: 128,
    FOREIGN: FOREIGN_CHARS,
    UNDECODED: 24 * 1024,
}
PROPERTIES = (
    "content_encoding",
    "correlation_id",
    "reply_to",
    "type",
    "user_id",
    "expiration",
    "priority",
    "timestamp",
)


def clean(text: object, most_bytes: int) -> str:
    """Return text that fits into this many bytes of UTF-8, truncated if longer."""
    return str(text).encode(errors="backslashreplace")[:most_bytes].decode(errors="ignore")


def attribute(value: object) -> str | None:
    """Return a CloudEvents attribute as text, or None if it is of a type that CloudEvents does not have."""
    if isinstance(value, bytes | bytearray):
        value = bytes(value).decode(errors="replace")
    return str(value) if isinstance(value, str | int | float) else None


def allowed(headers: Mapping[str, Any], properties: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the headers of a copy: our own, and everything foreign as one text.

    Args:
        properties: AMQP properties that the copy does not have, told among the foreign.
    """
    kept: dict[str, Any] = {}
    foreign = {f"property {name}": value for name, value in (properties or {}).items()}
    room = ALL_ATTRIBUTES_BYTES
    for name, value in headers.items():
        if name.startswith(BROKER_HEADERS):
            continue
        own = _own(name, value)
        if isinstance(own, str) and ATTRIBUTE.fullmatch(name):
            room -= len(name) + len(own.encode())
            own = own if room >= 0 else None
        if own is None:
            foreign[name] = value
        else:
            kept[name] = own
    if foreign:
        _tell(foreign, kept)
    return kept


def _own(name: str, value: Any) -> str | int | None:
    """Return the value of a header of ours as it travels; None if it is none, or not as we write it."""
    if name in COUNTS:
        right = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_COUNT
        return value if right else None
    if name == DRILL and isinstance(value, bool | int):
        return str(value)
    most = TEXTS.get(name)
    if most is not None:
        return value if isinstance(value, str) and _fits(value, most) else None
    if ATTRIBUTE.fullmatch(name):
        text = attribute(value)
        return text if text is not None and _fits(text, ATTRIBUTE_BYTES) else None
    return None


def _fits(text: str, most_bytes: int) -> bool:
    return clean(text, most_bytes) == text


def _tell(foreign: Mapping[str, Any], kept: dict[str, Any]) -> None:
    """Add foreign headers as JSON, the smallest first; count those left out or truncated."""
    said = _said_before(kept)
    room, left_out = FOREIGN_CHARS - len(json.dumps(said)), 0
    shown = {clean(name, SHORT_BYTES): printable(value) for name, value in foreign.items()}
    sizes = {name: len(json.dumps(value)) + len(json.dumps(name)) + 4 for name, value in shown.items()}
    for name in sorted(sizes, key=sizes.__getitem__):
        room -= sizes[name]
        if room < 0:
            left_out += 1
            continue
        said[name] = shown[name]
        left_out += _is_cut(foreign.get(name), shown[name])
    left_out += len(foreign) - len(shown)
    if said:
        kept[FOREIGN] = json.dumps(said)
    if left_out:
        kept[LEFT_OUT] = kept.get(LEFT_OUT, 0) + left_out


def _said_before(kept: dict[str, Any]) -> dict[str, Any]:
    """Return the foreign headers recorded by an earlier copy; a stranger's text in their place only if it
    has the same form."""
    try:
        told = json.loads(kept.get(FOREIGN, "{}"))
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) and len(json.dumps(told)) <= FOREIGN_CHARS else {}


def _is_cut(value: Any, shown: Any) -> bool:
    return isinstance(value, str) and value != shown


def printable(value: Any, depth: int = 0) -> Any:
    """Return a value of any type as JSON that a person can read, cut where it is long."""
    if isinstance(value, Mapping | list | tuple):
        if depth >= DEEPEST:
            return f"a {type(value).__name__} within others"
        if isinstance(value, Mapping):
            items = list(value.items())[:MOST_ITEMS]
            return {clean(name, SHORT_BYTES): printable(item, depth + 1) for name, item in items}
        return [printable(item, depth + 1) for item in value[:MOST_ITEMS]]
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, str | datetime):
        return _cut(str(value))
    # Floats too: JSON knows no NaN.
    return _cut(repr(bytes(value[:VALUE_CHARS]) if isinstance(value, bytes | bytearray) else value))


def _cut(text: str) -> str:
    return clean(text, VALUE_CHARS)


def foreign_properties(message: Any) -> dict[str, Any]:
    """Return the properties of a message that its copies do not carry, as far as it has them."""
    found = {name: getattr(message, name, None) for name in PROPERTIES}
    return {name: value for name, value in found.items() if value not in (None, "", 0)}


def short(text: object) -> str | None:
    """Return what an AMQP property may carry of a text; None if nothing is left."""
    return (clean(text, SHORT_BYTES) or None) if text is not None else None
