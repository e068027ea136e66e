"""Signs the copies that a consumer sends to its retry and dead-letter queues, and checks what comes back.

Everything that returns to a main queue comes through one exchange, ``laundry.requeue``. The broker must let
the operations service publish there, since people send dead letters back, and it cannot tell a dead letter
from any other body. So the consumer tells: only what it signed itself may come back, unchanged. The key is
the consumer's alone; who sends a letter back needs none, and who stole the login for it can do no more.

Not signed are what may differ when a letter comes back: who sent it, why, how often, and the attempt.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog
from prometheus_client import Counter

from laundry_events.errors import NotSigned
from laundry_events.headers import ATTRIBUTE, DRILL, ORIGINAL_KEY, REPLAYED, SIGNATURE, allowed
from laundry_events.plan import REQUEUE_EXCHANGE

VERSION = "v1"
SHORTEST_KEY = 32

UNSIGNED = Counter("laundry_letters_unsigned", "Messages that came back unsigned and were taken", ["queue"])
NOT_SIGNED = Counter("laundry_letters_not_signed", "Messages that came back and were refused", ["queue"])

log = structlog.get_logger(__name__)


class MessageSigner:
    """Signs and checks for one service; without a key it does neither."""

    def __init__(self, keys: str | Sequence[str] | None, *, unsigned_until: datetime | None = None) -> None:
        """Use these comma-separated keys: the first signs, all of them verify.

        Args:
            unsigned_until: until then unsigned messages are accepted too. Letters from before there was a
                key live for seven days at most.

        Raises:
            ValueError: a key is shorter than 32 characters.
        """
        given = keys.split(",") if isinstance(keys, str) else keys or ()
        self._keys = [key.strip().encode() for key in given if key.strip()]
        if any(len(key) < SHORTEST_KEY for key in self._keys):
            raise ValueError(f"a letter key has at least {SHORTEST_KEY} characters")
        if unsigned_until is not None and unsigned_until.tzinfo is None:
            unsigned_until = unsigned_until.replace(tzinfo=UTC)
        self._unsigned_until = unsigned_until

    def sign(self, queue: str, headers: dict[str, Any], body: bytes, message_id: str | None) -> None:
        """Add the signature to the headers of a copy that is about to be sent."""
        headers.pop(SIGNATURE, None)
        if self._keys:
            headers[SIGNATURE] = _signature(self._keys[0], queue, headers, body, message_id)

    def watch(self, queue: str) -> None:
        """Create a queue's counter, so that a first increase is visible to alerts."""
        NOT_SIGNED.labels(queue)

    def check(self, raw: Any, queue: str) -> None:
        """Accept messages that came the usual way, and returned ones that bear our signature.

        Args:
            raw: the delivered message.

        Raises:
            NotSigned: it came back, and this service did not sign it as it is.
        """
        if not self._keys or raw.exchange != REQUEUE_EXCHANGE:
            return
        headers = allowed(raw.headers)
        said = headers.get(SIGNATURE)
        if said is None and self._unsigned_until is not None and datetime.now(UTC) < self._unsigned_until:
            UNSIGNED.labels(queue).inc()
            log.warning("a message without a signature came back and is taken", message_id=raw.message_id)
            return
        right = [_signature(key, queue, headers, raw.body, raw.message_id) for key in self._keys]
        if not any(hmac.compare_digest(str(said).encode(), each.encode()) for each in right):
            raise NotSigned(
                f"it came back to {queue} without a signature of its consumer"
                if said is None
                else f"it came back to {queue} and is not as its consumer signed it"
            )


def _signature(
    key: bytes, queue: str, headers: Mapping[str, Any], body: bytes, message_id: str | None
) -> str:
    attributes = sorted((name, str(value)) for name, value in headers.items() if ATTRIBUTE.fullmatch(name))
    parts = [VERSION, queue, message_id or ""]
    parts += [str(headers.get(name, "")) for name in (ORIGINAL_KEY, DRILL)]
    # Only where it is, so that letters keep their signature from before there was a replay.
    parts += [f"{REPLAYED}={headers[REPLAYED]}"] if REPLAYED in headers else []
    parts += [text for pair in attributes for text in pair]
    digest = hmac.new(key, digestmod=hashlib.sha256)
    for part in (*(part.encode(errors="backslashreplace") for part in parts), body):
        # With its length, so that no two messages read the same.
        digest.update(len(part).to_bytes(8) + part)
    return f"{VERSION}:{digest.hexdigest()}"
