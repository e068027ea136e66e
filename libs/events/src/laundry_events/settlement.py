"""Carries out an outcome at the broker: where a copy goes on, the original is acknowledged after it.

Nothing here trusts the failed message. A copy carries only what ``headers`` allows; one that the broker still
rejects is stored in a safe form of our own; and if even that is impossible, the message
is returned to its queue, with a log line, a metric, and a consumer that reports not ready.
"""

import asyncio
import hashlib
from collections.abc import Mapping
from functools import cache
from typing import Any

import structlog
from prometheus_client import Counter

from laundry_events.delivery import Delivery
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
from laundry_events.message_spans import note_failure
from laundry_events.outcome import Ack, DeadLetter, Defer, Lost, Outcome, Requeue, Retry
from laundry_events.plan import DEAD_EXCHANGE, dead_queue
from laundry_events.republisher import Republisher
from laundry_events.retry import Copy, deferred_copy, failed_copy, now
from laundry_events.signing import MessageSigner

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
OUTCOMES = ("ok", "retried", "dead", "put-off", "returned", "reformed")

REQUEUE_PAUSE_S = 1.0
"""Before a message goes back to its queue: its next delivery comes at once."""

log = structlog.get_logger(__name__)


@cache
def _counter(queue: str, outcome: str) -> Counter:
    return CONSUMED.labels(queue, outcome)


class Settlement:
    """Tells the broker what became of a delivery. One for all queues of a consumer."""

    def __init__(
        self,
        republisher: Republisher,
        signer: MessageSigner,
        in_flight: InFlight,
        *,
        service: str,
        service_version: str,
    ) -> None:
        """Publish and sign copies with these; report what cannot be settled to ``in_flight``."""
        self._republisher = republisher
        self._signer = signer
        self._in_flight = in_flight
        self._service = service
        self._service_version = service_version

    @staticmethod
    def watch(queue: str) -> None:
        """Create a queue's counters, so that a first increase is visible to alerts."""
        for outcome in OUTCOMES:
            CONSUMED.labels(queue, outcome)

    async def settle(self, delivery: Delivery, outcome: Outcome) -> None:
        """Do at the broker what an outcome says, and count it."""
        match outcome:
            case Ack():
                await self._acknowledge(delivery, "ok")
            case Retry() | DeadLetter():
                await self._move_on(delivery, self._failed(delivery, outcome))
            case Defer():
                await self._move_on(delivery, self._deferred(delivery))
            case Requeue(error):
                await self._requeue(delivery, error)
            case Lost():
                CONSUMED.labels(delivery.queue.name, "returned").inc()

    async def rescue(self, delivery: Delivery, error: Exception) -> None:
        """Settle a message on which the consumer's own code failed, so that nothing stays unacknowledged."""
        queue = delivery.queue.name
        log.exception("a message could not be settled as usual", queue=queue)
        UNSETTLED.labels(queue, type(error).__name__).inc()
        if delivery.is_settled:
            return
        headers = {
            "x-error-class": clean(type(error).__qualname__, 256),
            "x-service": self._service,
            "x-service-version": self._service_version,
            "x-original-queue": queue,
            ORIGINAL_KEY: clean(delivery.routing_key, SHORT_BYTES),
        }
        try:
            await self._publish_reformed(delivery, headers, reason="unsettled", error=error)
        except Exception as unpublished:
            self._in_flight.unsettled(queue)
            await self._requeue(delivery, unpublished)
            return
        await self._acknowledge(delivery, "reformed")

    async def _acknowledge(self, delivery: Delivery, counted: str) -> None:
        await delivery.ack()
        _counter(delivery.queue.name, counted).inc()

    async def _requeue(self, delivery: Delivery, error: Exception | None) -> None:
        """Return a message as it is; a nack counts neither as an attempt nor as a failed delivery."""
        if error is not None:
            log.warning(
                "a message goes back to its queue",
                error=clean(f"{type(error).__qualname__}: {error}"[:500], 2_000),
            )
            with held():
                await asyncio.sleep(REQUEUE_PAUSE_S)
        await delivery.nack()
        CONSUMED.labels(delivery.queue.name, "returned").inc()

    def _failed(self, delivery: Delivery, outcome: Retry | DeadLetter) -> Copy:
        error = outcome.error
        note_failure(error)
        copy = failed_copy(
            delivery.headers,
            outcome,
            queue=delivery.queue,
            routing_key=delivery.routing_key,
            attempt=delivery.attempt,
            service=self._service,
            service_version=self._service_version,
            properties=foreign_properties(delivery.raw),
        )
        dead = isinstance(outcome, DeadLetter)
        say = log.error if dead else log.warning
        say(
            "message dead" if dead else "message retried",
            attempt=delivery.attempt,
            to=copy.queue,
            error_class=type(error).__qualname__,
            error=clean(str(error)[:500], 2_000),
        )
        return copy

    def _deferred(self, delivery: Delivery) -> Copy:
        return deferred_copy(
            delivery.headers,
            queue=delivery.queue,
            routing_key=delivery.routing_key,
            properties=foreign_properties(delivery.raw),
        )

    async def _move_on(self, delivery: Delivery, copy: Copy) -> None:
        """Publish the copy, then acknowledge the original; requeue it where no copy can be stored."""
        queue = delivery.queue.name
        try:
            counted = await self._publish(delivery, copy)
        except PublishError as unpublished:
            UNSETTLED.labels(queue, type(unpublished).__name__).inc()
            if isinstance(unpublished, Unpublishable):
                self._in_flight.unsettled(queue)
            await self._requeue(delivery, unpublished)
            return
        self._in_flight.settled(queue)
        await self._acknowledge(delivery, counted)

    async def _publish(self, delivery: Delivery, copy: Copy) -> str:
        """Store a copy, in another form or place if need be; returns how it is counted.

        Raises:
            PublishError: no copy is stored.
        """
        queue = delivery.queue.name
        try:
            await self._publish_copy(delivery, copy)
        except Unpublishable as error:
            log.exception("the broker takes no copy of a message; it is stored in another form")
            UNSETTLED.labels(queue, "reformed").inc()
            await self._publish_reformed(delivery, copy.headers, reason="copy-refused", error=error)
            return "reformed"
        except Refused:
            if copy.exchange != DEAD_EXCHANGE:
                raise
            # It must neither spin nor block the messages behind it.
            log.warning("the dead letters are full; a message waits for room", full=copy.queue)
            UNSETTLED.labels(queue, "dead-letters-full").inc()
            copy = self._deferred(delivery)
            await self._publish_copy(delivery, copy)
        return copy.counted

    async def _publish_copy(self, delivery: Delivery, copy: Copy) -> None:
        # The library would generate an id that no signature covers.
        message_id = short(delivery.raw.message_id) or new_id()
        headers = dict(copy.headers)
        if self._trusts(delivery):
            self._signer.sign(delivery.queue.name, headers, delivery.body, message_id)
        else:
            headers.pop(SIGNATURE, None)
        await self._republisher.send(
            copy.exchange,
            copy.queue,
            body=delivery.body,
            headers=headers,
            message_id=message_id,
            content_type=short(delivery.raw.content_type),
        )

    def _trusts(self, delivery: Delivery) -> bool:
        """Whether a message may be signed: a forged one must not gain a signature by failing."""
        try:
            self._signer.check(delivery.raw, delivery.queue.name)
        except NotSigned:
            return False
        return True

    async def _publish_reformed(
        self, delivery: Delivery, headers: Mapping[str, Any], *, reason: str, error: Exception
    ) -> None:
        """Store a dead letter that can always be stored: our own headers, and the body truncated."""
        before = headers.get("x-error-message")
        said = f"{type(error).__name__}: {error}" + (f"; before: {before}" if before else "")
        await self._republisher.send(
            DEAD_EXCHANGE,
            dead_queue(delivery.queue.name),
            body=delivery.body[:MAX_MESSAGE_BYTES],
            headers={
                **{name: value for name, value in headers.items() if name in OWN_WORDS},
                ATTEMPT: attempt_of(headers),
                "x-attempts": attempt_of(headers),
                "x-dead-reason": reason,
                "x-error-message": clean(said, 4_000),
                "x-last-failed-at": now(),
                "x-body-bytes": min(len(delivery.body), LARGEST_COUNT),
                "x-body-sha256": hashlib.sha256(delivery.body).hexdigest(),
            },
            message_id=new_id(),
            content_type=None,
        )
