"""What a dead letter says about itself, and the headers that it is sent back with."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from laundry_events.headers import (
    ATTEMPT,
    BROKER_HEADERS,
    DEFERRED,
    DELIVERIES,
    DELIVERY_COUNT,
    FIRST_FAILED_AT,
    LARGEST_COUNT,
    ORIGINAL_KEY,
    REDRIVEN,
    SHORT_BYTES,
    SIGNATURE,
    allowed,
    clean,
)
from laundry_events.moments import read_moment
from laundry_events.plan import DELIVERY_LIMIT

UNSAID = "not-said"
WORD_BYTES = 256
TEXT_BYTES = 4_096
TRACE = re.compile(r"[0-9a-f]{2}-(?P<trace_id>[0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.{0,100}")
# Written by the consumer that gave up; a redriven message starts with a history of its own.
HISTORY = (
    ATTEMPT,
    "x-attempts",
    "x-dead-",
    FIRST_FAILED_AT,
    DEFERRED,
    DELIVERIES,
    "x-last-failed-at",
    "x-error-",
    "x-service",
    "x-body-",
    *BROKER_HEADERS,
)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message in a dead-letter queue.

    Attributes:
        queue: the main queue that it died in (known from where it lies, not from its headers).
        properties: the AMQP properties besides id and headers that a copy keeps.
    """

    queue: str
    message_id: str | None
    headers: Mapping[str, Any]
    body: bytes
    properties: Mapping[str, Any] = field(default_factory=dict)

    @property
    def death(self) -> Mapping[str, Any] | None:
        """The broker's ``x-death`` entry, when the broker and not a consumer dead-lettered it (delivery
        limit)."""
        notes = self.headers.get("x-death")
        for note in notes if isinstance(notes, list) else ():
            if isinstance(note, Mapping) and note.get("queue") == self.queue:
                return note
        return None

    @property
    def reason(self) -> str:
        """Why it died, in one word."""
        death = self.death
        said = death.get("reason") if death else self.headers.get("x-dead-reason")
        return clean(said or UNSAID, WORD_BYTES)

    @property
    def error_class(self) -> str:
        """The class of the last error; empty when the consumer could not say."""
        return "" if self.death else clean(self.headers.get("x-error-class", ""), WORD_BYTES)

    @property
    def error_message(self) -> str:
        """The last error's message; for a letter that the broker dead-lettered, what its note says."""
        death = self.death
        if death is None:
            return clean(self.headers.get("x-error-message", ""), TEXT_BYTES)
        if death.get("reason") != "delivery_limit":
            return ""
        return f"killed or lost its consumer {self.deliveries or DELIVERY_LIMIT + 1} times"

    @property
    def deliveries(self) -> int | None:
        """How many consumers died or lost their connection with it in flight."""
        count = self.headers.get(DELIVERY_COUNT if self.death else DELIVERIES)
        return count if isinstance(count, int) else None

    @property
    def attempts(self) -> int | None:
        """How often a handler failed with it; how often it was delivered, if the broker buried it."""
        count = self.deliveries if self.death else self.headers.get("x-attempts")
        return count if isinstance(count, int) else None

    @property
    def first_failed_at(self) -> str:
        """When it first failed (RFC 3339); empty if unknown."""
        said = self.headers.get(FIRST_FAILED_AT)
        if said is None and self.death is not None and self.died_at is not None:
            return utc(self.died_at)
        return clean(said or "", WORD_BYTES)

    @property
    def origin(self) -> tuple[str, str]:
        """The queue that it died in and the routing key that it was published with."""
        key = _key_at_death(self) or self.headers.get(ORIGINAL_KEY, self.queue)
        return self.queue, clean(key, SHORT_BYTES)

    @property
    def died_at(self) -> datetime | None:
        """When it was dead-lettered, if known."""
        death = self.death
        said = death.get("time") if death else self.headers.get("x-last-failed-at")
        try:
            when = read_moment(said) if isinstance(said, str) else said
            if not isinstance(when, datetime):
                return None
            return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            # Also a time that is before the year 1 or behind 9999 in another zone.
            return None

    @property
    def redriven(self) -> int:
        """How often it has been redriven already."""
        count = self.headers.get(REDRIVEN, 0)
        return count if isinstance(count, int) and 0 < count <= LARGEST_COUNT else 0

    @property
    def signed(self) -> bool:
        """Whether it bears a signature of its consumer; only that consumer can tell whether it is good."""
        return isinstance(self.headers.get(SIGNATURE), str)

    @property
    def trace_id(self) -> str | None:
        """The trace that it belongs to (W3C traceparent)."""
        found = TRACE.fullmatch(str(self.headers.get("traceparent", "")))
        return found["trace_id"] if found else None

    @property
    def fingerprint(self) -> str:
        """Distinguishes this letter from every other in its queue; in another there may be one like it."""
        said = f"{self.message_id}|{self.reason}|{self.died_at}|{self.redriven}|"
        return hashlib.sha256(said.encode(errors="backslashreplace") + self.body).hexdigest()


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters are selected; an empty condition matches every letter.

    Attributes:
        reason: the reason or the class of the error.
        only: fingerprints of letters that a person has seen and agreed to.
    """

    reason: str | None = None
    ids: frozenset[str] = frozenset()
    only: frozenset[str] | None = None

    def takes(self, letter: DeadLetter) -> bool:
        """Whether a letter is selected."""
        return (
            (self.reason is None or self.reason in (letter.reason, letter.error_class))
            and (not self.ids or letter.message_id in self.ids)
            and (self.only is None or letter.fingerprint in self.only)
        )


@dataclass(frozen=True, slots=True)
class OperatorAction:
    """A person's decision on what to do with dead letters.

    Attributes:
        run: names one execution of it, which a crash may divide into several.
        via: the program that was used, ``cli`` or ``api``.
    """

    action: str
    by: str
    why: str
    run: str = ""
    via: str = "cli"


def utc(when: datetime) -> str:
    """Write a time as RFC 3339 in UTC."""
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def redriven_headers(letter: DeadLetter, act: OperatorAction, now: datetime) -> dict[str, Any]:
    """Return the headers of a redriven copy: the event's, a fresh retry budget, who sent it and why."""
    kept = allowed(letter.headers)
    headers = {name: value for name, value in kept.items() if not name.startswith(HISTORY)}
    key = _key_at_death(letter)
    if key is not None:
        headers[ORIGINAL_KEY] = clean(key, SHORT_BYTES)
    headers.update(
        {
            REDRIVEN: min(letter.redriven + 1, LARGEST_COUNT),
            "x-redriven-by": clean(act.by, 512),
            "x-redriven-at": utc(now),
            "x-redrive-reason": clean(act.why, 4_096),
        }
    )
    return headers


def _key_at_death(letter: DeadLetter) -> str | None:
    """Return the routing key that the broker checked when it took the message, if the broker noted one.

    The header of that name was written by whoever published (equipment can do so over MQTT), and consumers
    believe it on a message that comes back: what the broker noted must win.
    """
    death = letter.death
    keys = death.get("routing-keys") if death else None
    if not isinstance(keys, list) or not keys or keys[0] == letter.queue:
        return None
    return str(keys[0])
