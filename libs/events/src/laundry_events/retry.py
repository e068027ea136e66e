"""The copies of failed messages: which queue they wait in, and what their headers say.

Each queue of the plan has its own delays (``Queue.retry_delays_s``; 1, 2 and 4 s unless it says otherwise)
and a retry queue for each, whose messages expire back into their main queue. RabbitMQ 4.3's own delayed
retry grows linearly, and its waiting messages are neither ready nor unacknowledged in the metrics.
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
    DELIVERY_COUNT,
    FIRST_FAILED_AT,
    LARGEST_COUNT,
    ORIGINAL_KEY,
    SHORT_BYTES,
    TAKEN_MS,
    allowed,
    clean,
)
from laundry_events.outcome import DeadLetter, Retry
from laundry_events.plan import DEAD_EXCHANGE, RETRY_EXCHANGE, Queue, dead_queue, retry_queue

MESSAGE_CHARS = 1_000


@dataclass(frozen=True)
class Copy:
    """Where a copy of a message goes, with which headers, and how it is counted (label ``outcome``)."""

    exchange: str
    queue: str
    headers: dict[str, Any]
    counted: str


def _digest(error: BaseException) -> str:
    """Fingerprint a traceback so that equal failures group: its frames, without values or source lines."""
    frames = traceback.extract_tb(error.__traceback__)
    place = "|".join(f"{frame.filename.rsplit('/', 1)[-1]}:{frame.name}:{frame.lineno}" for frame in frames)
    return hashlib.sha256(f"{type(error).__qualname__}|{place}".encode()).hexdigest()[:16]


def now() -> str:
    """Return the time as headers carry it (RFC 3339, UTC)."""
    return _text(datetime.now(UTC))


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _arrived_at(headers: Mapping[str, Any], queue: str, routing_key: str) -> str:
    """Return when the broker first accepted a message; a copy's header is trusted as for the original key."""
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


def deferred_copy(
    headers: Mapping[str, Any],
    *,
    queue: Queue,
    routing_key: str,
    properties: Mapping[str, Any] | None = None,
) -> Copy:
    """Return a copy that lets others come first: no attempt is counted."""
    kept = allowed(headers, properties)
    kept[ARRIVED_AT] = _arrived_at(headers, queue.name, routing_key)
    kept[DEFERRED] = min(kept.get(DEFERRED, 0) + 1, LARGEST_COUNT)
    kept[ORIGINAL_KEY] = _original_key(kept, queue.name, routing_key)
    return Copy(RETRY_EXCHANGE, queue.defer_queue, kept, "put-off")


def failed_copy(
    headers: Mapping[str, Any],
    outcome: Retry | DeadLetter,
    *,
    queue: Queue,
    routing_key: str,
    attempt: int,
    service: str,
    service_version: str,
    properties: Mapping[str, Any] | None = None,
) -> Copy:
    """Return the copy of a message whose handling failed at ``attempt`` (1 for the first).

    It says why, where and when; a dead letter also how often it was tried and delivered.
    """
    error = outcome.error
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
            "x-original-queue": queue.name,
            ORIGINAL_KEY: _original_key(kept, queue.name, routing_key),
            ARRIVED_AT: _arrived_at(headers, queue.name, routing_key),
        }
    )
    if isinstance(outcome, Retry):
        kept[ATTEMPT] = attempt + 1
        delay = queue.retry_delays_s[attempt - 1]
        return Copy(RETRY_EXCHANGE, retry_queue(queue.name, delay), kept, "retried")
    kept[ATTEMPT] = kept["x-attempts"] = min(attempt, LARGEST_COUNT)
    deaths = headers.get(DELIVERY_COUNT)
    if isinstance(deaths, int) and deaths > 0:
        # The last attempt.
        kept[DELIVERIES] = min(deaths + 1, LARGEST_COUNT)
    reason = error.reason if isinstance(error, PermanentError) else "retries-exhausted"
    kept["x-dead-reason"] = clean(reason, 256)
    return Copy(DEAD_EXCHANGE, dead_queue(queue.name), kept, "dead")
