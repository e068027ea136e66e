"""What becomes of a message whose handling failed: a copy goes on, then the original is acknowledged.

Nothing here trusts what failed. A copy carries only what ``headers`` allows; one that the broker does not
take all the same is stored in a form of ours that it does; and where even that cannot be done, the message
goes back, with a line in the log, a count, and a consumer that says not ready.
"""

import asyncio
import hashlib
from collections.abc import Mapping
from typing import Any

import structlog
from faststream.rabbit import RabbitMessage
from prometheus_client import Counter

from laundry_events.circuit_breaker import HoldEnded
from laundry_events.envelope import MAX_MESSAGE_BYTES, attempt_of
from laundry_events.errors import NotSigned, PublishError, Refused, Unpublishable
from laundry_events.headers import (
    ATTEMPT,
    FIRST_FAILED_AT,
    LARGEST_COUNT,
    ORIGINAL_KEY,
    SHORT_BYTES,
    SIGNATURE,
    clean,
    foreign_properties,
    short,
)
from laundry_events.ids import new_id
from laundry_events.in_flight import UNSETTLED, InFlight, held
from laundry_events.republisher import Republisher
from laundry_events.retry import Move, defer, next_move, now
from laundry_events.signing import MessageSigner
from laundry_events.topology import DEAD_EXCHANGE, RETRY_DELAYS_S, RETRY_EXCHANGE, dead_queue, retry_queue

OWN_WORDS = frozenset(
    {
        FIRST_FAILED_AT,
        "x-error-class",
        "x-error-digest",
        "x-service",
        "x-service-version",
        "x-original-queue",
        ORIGINAL_KEY,
    }
)
CONSUMED = Counter("laundry_events_consumed", "Messages by what became of them", ["queue", "outcome"])

RETURN_PAUSE_S = 1.0
"""Before a message goes back: its next delivery comes at once."""

log = structlog.get_logger(__name__)


class Settlement:
    """Moves messages to retry and dead-letter queues, or back."""

    def __init__(
        self,
        copies: Republisher,
        signer: MessageSigner,
        in_flight: InFlight,
        *,
        service: str,
        service_version: str,
    ) -> None:
        """Take what publishes and signs copies, and who is told of what cannot be settled."""
        self._copies = copies
        self._signer = signer
        self._in_flight = in_flight
        self._service = service
        self._service_version = service_version

    async def failed(self, message: RabbitMessage, queue: str, error: Exception) -> None:
        """Move a message up the ladder or to the dead letters."""
        raw = message.raw_message
        attempt = attempt_of(raw.headers)
        move = next_move(
            raw.headers,
            queue=queue,
            routing_key=raw.routing_key or queue,
            attempt=attempt,
            error=error,
            service=self._service,
            service_version=self._service_version,
            properties=foreign_properties(raw),
        )
        say = log.error if move.dead else log.warning
        say(
            "message dead" if move.dead else "message retried",
            attempt=attempt,
            to=move.queue,
            error_class=type(error).__qualname__,
            error=clean(str(error)[:500], 2_000),
        )
        await self._settle(message, queue, move)

    async def defer(self, message: RabbitMessage, queue: str) -> None:
        """Let others come first: a copy, without an attempt and without a count of deaths, joins the end."""
        headers = self._deferred_headers(message.raw_message, queue)
        move = Move(False, retry_queue(queue, RETRY_DELAYS_S[-1]), headers)
        await self._settle(message, queue, move, outcome="put-off")

    async def give_back(self, message: RabbitMessage, queue: str, error: Exception) -> None:
        """Return a message to its queue as it is; a nack counts neither as an attempt nor as a delivery."""
        if not isinstance(error, HoldEnded):
            log.warning(
                "a message goes back to its queue",
                error=clean(f"{type(error).__qualname__}: {error}"[:500], 2_000),
            )
            with held():
                await asyncio.sleep(RETURN_PAUSE_S)
        await message.nack(requeue=True)
        CONSUMED.labels(queue, "returned").inc()

    async def broke(self, message: RabbitMessage, queue: str, error: Exception) -> None:
        """Settle a message on which the consumer's own code failed, so that nothing stays unacked unsaid."""
        log.exception("a message could not be settled as usual", queue=queue)
        UNSETTLED.labels(queue, type(error).__name__).inc()
        raw = message.raw_message
        if raw.processed:
            return
        headers = {
            "x-error-class": clean(type(error).__qualname__, 256),
            "x-service": self._service,
            "x-service-version": self._service_version,
            "x-original-queue": queue,
            ORIGINAL_KEY: clean(raw.routing_key or queue, SHORT_BYTES),
        }
        try:
            await self._copy_reformed(raw, queue, headers, reason="unsettled", error=error)
        except Exception as unpublished:
            self._in_flight.unsettled(queue)
            await self.give_back(message, queue, unpublished)
            return
        await message.ack()
        CONSUMED.labels(queue, "reformed").inc()

    async def _settle(
        self, message: RabbitMessage, queue: str, move: Move, *, outcome: str | None = None
    ) -> None:
        """Send the copy, then acknowledge the original; give it back where no copy can be stored."""
        raw = message.raw_message
        try:
            outcome = await self._stored(raw, queue, move) or outcome or ("dead" if move.dead else "retried")
        except PublishError as unpublished:
            UNSETTLED.labels(queue, type(unpublished).__name__).inc()
            if isinstance(unpublished, Unpublishable):
                self._in_flight.unsettled(queue)
            await self.give_back(message, queue, unpublished)
            return
        self._in_flight.settled(queue)
        await message.ack()
        CONSUMED.labels(queue, outcome).inc()

    async def _stored(self, raw: Any, queue: str, move: Move) -> str | None:
        """Store a copy, in another form or place if need be; then return what became of it.

        Raises:
            PublishError: no copy is stored.
        """
        try:
            await self._copy(raw, queue, move)
        except Unpublishable as error:
            log.exception("the broker takes no copy of a message; it is stored in another form")
            UNSETTLED.labels(queue, "reformed").inc()
            await self._copy_reformed(raw, queue, move.headers, reason="copy-refused", error=error)
            return "reformed"
        except Refused:
            if not move.dead:
                raise
            # It must neither spin nor stand in the way of those behind it.
            log.warning("the dead letters are full; a message waits for room", full=move.queue)
            UNSETTLED.labels(queue, "dead-letters-full").inc()
            headers = self._deferred_headers(raw, queue)
            await self._copy(raw, queue, Move(False, retry_queue(queue, RETRY_DELAYS_S[-1]), headers))
            return "put-off"
        return None

    def _deferred_headers(self, raw: Any, queue: str) -> dict[str, Any]:
        return defer(
            raw.headers,
            queue=queue,
            routing_key=raw.routing_key or queue,
            properties=foreign_properties(raw),
        )

    async def _copy(self, raw: Any, queue: str, move: Move) -> None:
        # The library would make up an id, which no signature could name.
        message_id = short(raw.message_id) or new_id()
        headers = dict(move.headers)
        if self._trusts(raw, queue):
            self._signer.sign(queue, headers, raw.body, message_id)
        else:
            headers.pop(SIGNATURE, None)
        await self._copies.send(
            DEAD_EXCHANGE if move.dead else RETRY_EXCHANGE,
            move.queue,
            body=raw.body,
            headers=headers,
            message_id=message_id,
            content_type=short(raw.content_type),
        )

    def _trusts(self, raw: Any, queue: str) -> bool:
        """Whether a message came as it may: a forged one must not get a signature by failing."""
        try:
            self._signer.check(raw, queue)
        except NotSigned:
            return False
        return True

    async def _copy_reformed(
        self, raw: Any, queue: str, headers: Mapping[str, Any], *, reason: str, error: Exception
    ) -> None:
        """Store as a dead letter what can be stored in any case: our own words, and the body cut to size."""
        before = headers.get("x-error-message")
        said = f"{type(error).__name__}: {error}" + (f"; before: {before}" if before else "")
        await self._copies.send(
            DEAD_EXCHANGE,
            dead_queue(queue),
            body=raw.body[:MAX_MESSAGE_BYTES],
            headers={
                **{name: value for name, value in headers.items() if name in OWN_WORDS},
                ATTEMPT: attempt_of(headers),
                "x-attempts": attempt_of(headers),
                "x-dead-reason": reason,
                "x-error-message": clean(said, 4_000),
                "x-last-failed-at": now(),
                "x-body-bytes": min(len(raw.body), LARGEST_COUNT),
                "x-body-sha256": hashlib.sha256(raw.body).hexdigest(),
            },
            message_id=new_id(),
            content_type=None,
        )
