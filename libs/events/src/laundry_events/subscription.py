"""A queue's subscription: takes each delivery from the broker to its outcome (``outcome`` has the table)."""

import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import structlog
from prometheus_client import Histogram

from laundry_events.circuit_breaker import CircuitBreaker, HalfOpenProbe, HoldEnded
from laundry_events.delivery import Delivery
from laundry_events.envelope import MAX_MESSAGE_BYTES, EventMeta
from laundry_events.errors import (
    ConsumerKilled,
    DrillError,
    MalformedMessage,
    NotSigned,
    PublishError,
    RequeueMessage,
)
from laundry_events.headers import DRILL
from laundry_events.in_flight import InFlight, held
from laundry_events.interruptions import uncancelled
from laundry_events.message_spans import processing
from laundry_events.outcome import Ack, DeadLetter, Defer, Lost, Outcome, Requeue, after_failure
from laundry_events.plan import Queue
from laundry_events.poison import DEAD_LETTER_AT, HANDLE_ANYWAY_AT, PoisonIsolation
from laundry_events.settlement import Settlement
from laundry_events.signing import NOT_SIGNED, MessageSigner

Handler = Callable[[bytes, EventMeta], Awaitable[None]]

HANDLING = Histogram(
    "laundry_events_handling_seconds",
    "Time in the handler",
    ["queue"],
    # From a row that is written to a message that is held while a server is away.
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600),
)

HOLD_S = 600.0
"""Longest that a message is held; well below the half hour after which the broker takes it back."""

CRASH = "crash"

log = structlog.get_logger(__name__)


class ConnectionLost(Exception):
    """The broker took the message back while it was held; another consumer has it by now."""


class Subscription:
    """Handles the messages of one queue; at most as many at a time as its prefetch lets in."""

    def __init__(
        self,
        queue: Queue,
        handler: Handler,
        *,
        enveloped: bool,
        drills: bool,
        breaker: CircuitBreaker,
        signer: MessageSigner,
        in_flight: InFlight,
        settlement: Settlement,
    ) -> None:
        """Handle the messages of ``queue`` with ``handler``; the rest is shared by the consumer's queues.

        Args:
            enveloped: whether its messages are CloudEvents.
            drills: whether a message may ask to fail (``x-drill``).
        """
        self._queue = queue
        self._handler = handler
        self._enveloped = enveloped
        self._drills = drills
        self._breaker = breaker
        self._signer = signer
        self._in_flight = in_flight
        self._settlement = settlement
        self._isolation = PoisonIsolation(queue.name)
        self._took = HANDLING.labels(queue.name)

    async def receive(self, delivery: Delivery) -> None:
        """Take one message to its end; whatever fails, nothing is left unacknowledged."""
        with self._in_flight.taken(self._queue.name):
            try:
                with _traced(delivery, self._took):
                    await self._process(delivery)
            except Exception as error:
                if delivery.is_lost:
                    await self._settlement.settle(delivery, Lost())
                else:
                    await self._settlement.rescue(delivery, error)

    async def _process(self, delivery: Delivery) -> None:
        """Wait until it may be handled, handle it, settle it; again if a server was away meanwhile."""
        if delivery.failed_deliveries >= DEAD_LETTER_AT:
            deaths = (
                f"{delivery.failed_deliveries} consumers died, or lost their connection, with it in flight"
            )
            await self._settlement.settle(delivery, DeadLetter(ConsumerKilled(deaths)))
            return
        until = time.monotonic() + HOLD_S
        outcome: Outcome | None = None
        try:
            while outcome is None:
                probe = await self._admitted(delivery, until)
                try:
                    async with self._isolation.turn(
                        delivery.raw.message_id, delivery.failed_deliveries, within_s=until - time.monotonic()
                    ):
                        outcome = await self._handled(delivery, probe)
                        if outcome is not None:
                            # Within its turn: the next message may end the process.
                            await self._settlement.settle(delivery, outcome)
                finally:
                    if probe is not None:
                        probe.end()
        except HoldEnded:
            await self._settlement.settle(delivery, Requeue())
        except ConnectionLost:
            await self._settlement.settle(delivery, Lost())

    async def _admitted(self, delivery: Delivery, until: float) -> HalfOpenProbe | None:
        """Wait while the circuit breaker is open; returns the probe if this message is to be it."""
        if not self._breaker.open or delivery.failed_deliveries >= HANDLE_ANYWAY_AT:
            return None
        with held():
            probe = await self._breaker.wait(within_s=until - time.monotonic())
        if delivery.is_lost:
            if probe is not None:
                probe.end()
            raise ConnectionLost
        return probe

    async def _handled(self, delivery: Delivery, probe: HalfOpenProbe | None) -> Outcome | None:
        """Handle it once and decide what becomes of it; None if it must wait for a server that is away."""
        try:
            await uncancelled(self._attempt(delivery))
        except Exception as error:
            if await self._breaker.opens_for(error, message=delivery.name):
                if probe is None and delivery.failed_deliveries < HANDLE_ANYWAY_AT:
                    return None
                if probe is not None:
                    probe.end(False)
                return Defer()
            if isinstance(error, RequeueMessage | PublishError):
                # Nothing is wrong with it: what it leads to finds no room or no queue at the broker.
                return Requeue(error)
            return after_failure(error, attempt=delivery.attempt, max_attempts=self._queue.max_attempts)
        if probe is not None or self._breaker.has_failures:
            self._breaker.succeeded(probe)
        return Ack()

    async def _attempt(self, delivery: Delivery) -> None:
        """Check it, read its envelope and call the handler. Raises what fails."""
        try:
            self._signer.check(delivery.raw, self._queue.name)
        except NotSigned:
            NOT_SIGNED.labels(self._queue.name).inc()
            raise
        if len(delivery.body) > MAX_MESSAGE_BYTES:
            raise MalformedMessage(
                f"the body has {len(delivery.body)} bytes; at most {MAX_MESSAGE_BYTES} are taken"
            )
        if self._drills and DRILL in delivery.headers:
            _drill(delivery.headers[DRILL])
        meta = delivery.envelope() if self._enveloped else delivery.bare_envelope()
        await self._handler(delivery.body, meta)


@contextmanager
def _traced(delivery: Delivery, took: Histogram) -> Iterator[None]:
    """Go on with the message's trace, name it in every log line, and measure."""
    started = time.perf_counter()
    try:
        with (
            processing(delivery),
            structlog.contextvars.bound_contextvars(
                queue=delivery.queue.name, event_id=delivery.raw.message_id
            ),
        ):
            yield
    finally:
        took.observe(time.perf_counter() - started)


def _drill(kind: object) -> None:
    """Fail as the message asks: ``crash`` ends the process, all else raises ``DrillError``."""
    if kind == CRASH:
        log.error("this message was sent to end its process")
        os.kill(os.getpid(), signal.SIGKILL)
    raise DrillError("this message was sent to fail")
