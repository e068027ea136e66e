"""What becomes of a failed message: 1 s → 2 s → 4 s, then its dead-letter queue (DD-02 §4.4.2.2.1).

RabbitMQ 4.3's own delayed retry grows linearly, so the ladder is three queues whose messages expire back
into their main queue. A message moves by copy, confirm, then ack: a crash in between leaves two copies,
which the inbox makes one effect, and never none.
"""

import hashlib
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pamqp import encode

from laundry_events.errors import PermanentError
from laundry_events.topology import RETRY_DELAYS_S, dead_queue, retry_queue

ATTEMPT = "x-attempt"
FIRST_FAILED_AT = "x-first-failed-at"
MESSAGE_CHARS = 1_000
HEADER_BYTES = 64 * 1024
"""All headers of a copy together. They travel in one frame, at most 128 KiB: the broker closes the connection
of whoever sends more, and a stranger (equipment by MQTT) may have filled it to the brim.
"""

# The broker adds these when it moves a message; a copy starts its own history.
BROKER_HEADERS = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-acquired-count")


@dataclass(frozen=True)
class Move:
    """Where a failed message goes next, with the headers that its copy carries."""

    dead: bool
    queue: str
    headers: dict[str, Any]


def _digest(error: BaseException) -> str:
    """Name the place of a failure, so that equal ones group: the frames without values or line contents."""
    frames = traceback.extract_tb(error.__traceback__)
    place = "|".join(f"{frame.filename.rsplit('/', 1)[-1]}:{frame.name}:{frame.lineno}" for frame in frames)
    return hashlib.sha256(f"{type(error).__qualname__}|{place}".encode()).hexdigest()[:16]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _original_key(headers: Mapping[str, Any], queue: str, routing_key: str) -> Any:
    """Return the key of the first publish. The header counts only on a message that came back to its queue:
    whoever publishes (equipment by MQTT) can set headers, but not the key that the broker checked.
    """
    return headers.get("x-original-routing-key", routing_key) if routing_key == queue else routing_key


def bounded(headers: dict[str, Any]) -> dict[str, Any]:
    """Leave out the largest headers where all together are too large; ours are small."""
    sizes = {name: len(encode.field_table({name: value})) for name, value in headers.items()}
    room, kept = HEADER_BYTES, {}
    for name in sorted(sizes, key=sizes.__getitem__):
        room -= sizes[name]
        if room < 0:
            break
        kept[name] = headers[name]
    if len(kept) < len(headers):
        kept["x-headers-left-out"] = len(headers) - len(kept)
    return kept


def next_move(
    headers: Mapping[str, Any],
    *,
    queue: str,
    routing_key: str,
    attempt: int,
    error: BaseException,
    service: str,
    service_version: str,
) -> Move:
    """Decide about a message whose handling failed at ``attempt`` (1 for the first).

    A permanent error goes to the dead letters at once; any other waits 1, 2, then 4 s and goes there after
    the fourth failure. Either copy says why, where and when.
    """
    kept = bounded({k: v for k, v in headers.items() if not k.startswith(BROKER_HEADERS)})
    now = _now()
    kept[FIRST_FAILED_AT] = kept.get(FIRST_FAILED_AT, now)
    kept.update(
        {
            "x-last-failed-at": now,
            "x-error-class": type(error).__qualname__,
            "x-error-message": str(error)[:MESSAGE_CHARS],
            "x-error-digest": _digest(error),
            "x-service": service,
            "x-service-version": service_version,
            "x-original-queue": queue,
            "x-original-routing-key": _original_key(kept, queue, routing_key),
        }
    )
    permanent = isinstance(error, PermanentError)
    if not permanent and attempt <= len(RETRY_DELAYS_S):
        kept[ATTEMPT] = attempt + 1
        return Move(False, retry_queue(queue, RETRY_DELAYS_S[attempt - 1]), kept)
    kept[ATTEMPT] = attempt
    kept["x-attempts"] = attempt
    kept["x-dead-reason"] = error.reason if isinstance(error, PermanentError) else "retries-exhausted"
    return Move(True, dead_queue(queue), kept)
