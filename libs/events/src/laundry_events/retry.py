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

from laundry_events.errors import PermanentError
from laundry_events.headers import (
    ARRIVED_AT,
    ATTEMPT,
    DEFERRED,
    DELIVERIES,
    FIRST_FAILED_AT,
    LARGEST_COUNT,
    ORIGINAL_KEY,
    SHORT_BYTES,
    TAKEN_MS,
    allowed,
    clean,
)
from laundry_events.topology import RETRY_DELAYS_S, dead_queue, retry_queue

MESSAGE_CHARS = 1_000


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


def now() -> str:
    """Return the time as headers carry it (RFC 3339, UTC)."""
    return _text(datetime.now(UTC))


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _arrived_at(headers: Mapping[str, Any], queue: str, routing_key: str) -> str:
    """Return when the broker first took a message. An earlier copy's word counts as the original key does."""
    if routing_key == queue and isinstance(said := headers.get(ARRIVED_AT), str):
        return clean(said, 64)
    taken = headers.get(TAKEN_MS)
    if isinstance(taken, int) and not isinstance(taken, bool):
        try:
            return _text(datetime.fromtimestamp(taken / 1000, UTC))
        except (ValueError, OverflowError, OSError):
            pass
    return now()


def _original_key(headers: Mapping[str, Any], queue: str, routing_key: str) -> str:
    """Return the key of the first publish. The header counts only on a message that came back to its queue:
    whoever publishes (equipment by MQTT) can set headers, but not the key that the broker checked.
    """
    key = headers.get(ORIGINAL_KEY, routing_key) if routing_key == queue else routing_key
    return clean(key, SHORT_BYTES)


def defer(
    headers: Mapping[str, Any],
    *,
    queue: str,
    routing_key: str,
    properties: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the headers of a copy that only waits its turn: no attempt is counted."""
    kept = allowed(headers, properties)
    kept[ARRIVED_AT] = _arrived_at(headers, queue, routing_key)
    kept[DEFERRED] = min(kept.get(DEFERRED, 0) + 1, LARGEST_COUNT)
    kept[ORIGINAL_KEY] = _original_key(kept, queue, routing_key)
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
    properties: Mapping[str, Any] | None = None,
) -> Move:
    """Decide about a message whose handling failed at ``attempt`` (1 for the first).

    A permanent error goes to the dead letters at once; any other waits 1, 2, then 4 s and goes there after
    the fourth failure. Either copy says why, where and when.
    """
    kept = allowed(headers, properties)
    at = now()
    kept[FIRST_FAILED_AT] = kept.get(FIRST_FAILED_AT, at)
    kept.update(
        {
            "x-last-failed-at": at,
            "x-error-class": clean(type(error).__qualname__, 256),
            # It may quote the message, and half of a surrogate pair cannot be encoded.
            "x-error-message": clean(str(error)[:MESSAGE_CHARS], 4 * MESSAGE_CHARS),
            "x-error-digest": _digest(error),
            "x-service": service,
            "x-service-version": service_version,
            "x-original-queue": queue,
            ORIGINAL_KEY: _original_key(kept, queue, routing_key),
            ARRIVED_AT: _arrived_at(headers, queue, routing_key),
        }
    )
    permanent = isinstance(error, PermanentError)
    if not permanent and attempt <= len(RETRY_DELAYS_S):
        kept[ATTEMPT] = attempt + 1
        return Move(False, retry_queue(queue, RETRY_DELAYS_S[attempt - 1]), kept)
    kept[ATTEMPT] = kept["x-attempts"] = min(attempt, LARGEST_COUNT)
    deaths = headers.get("x-delivery-count")
    if isinstance(deaths, int) and deaths > 0:
        # The last one ends here.
        kept[DELIVERIES] = min(deaths + 1, LARGEST_COUNT)
    reason = error.reason if isinstance(error, PermanentError) else "retries-exhausted"
    kept["x-dead-reason"] = clean(reason, 256)
    return Move(True, dead_queue(queue), kept)
