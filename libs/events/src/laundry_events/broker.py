"""The connection that a service consumes with: what FastStream's own does not do when it starts and stops."""

import asyncio
import contextlib
from typing import Any

from faststream.middlewares import AckPolicy
from faststream.rabbit import RabbitBroker

from laundry_events.circuit_breaker import CircuitBreaker
from laundry_events.connection import RECONNECT_S, CancellableConnection, connection_url
from laundry_events.in_flight import InFlight
from laundry_events.partition_watch import PartitionWatch
from laundry_events.republisher import Republisher

CANCEL_TIMEOUT_S = 2.0


class ConsumingBroker(RabbitBroker):
    """FastStream's broker, which leaves a node that is cut off and lets go of held messages when it stops."""

    gate: CircuitBreaker | None = None
    in_flight: InFlight | None = None
    copies: Republisher | None = None

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        """Take what FastStream's takes."""
        super().__init__(*arguments, **keywords)
        self._watch = PartitionWatch(lambda: self._connection)

    @property
    def paused_for(self) -> str | None:
        """Name of the server that consuming waits for, if any."""
        return self.gate.away if self.gate is not None else None

    @property
    def settles(self) -> bool:
        """Whether messages that are taken come to an end, well or not."""
        return self.in_flight is None or self.in_flight.settles

    async def start(self, *arguments: Any, **keywords: Any) -> None:
        """Connect and subscribe, also after a ``stop``: a first start fails while a queue is missing."""
        if self.gate is not None:
            self.gate.hold_again()
        # Before: to subscribe at a node that is cut off would never end.
        self._watch.start()
        await super().start(*arguments, **keywords)

    async def stop(self, *arguments: Any, **keywords: Any) -> None:
        """Take no more, finish what is in hand, close."""
        await self._watch.stop()
        async with asyncio.TaskGroup() as cancelling:
            for subscriber in self.subscribers:
                cancelling.create_task(_take_no_more(subscriber))
        if self.gate is not None:
            self.gate.release()
        await super().stop(*arguments, **keywords)
        if self.copies is not None:
            await self.copies.stop()


async def _take_no_more(subscriber: Any) -> None:
    """Cancel a subscriber's consumer.

    FastStream cancels only after it has waited for what is in hand. Until then the broker would deliver more,
    and what is unacked when the channel closes counts as a delivery that killed its consumer.
    """
    queue, tag = getattr(subscriber, "_queue_obj", None), getattr(subscriber, "_consumer_tag", None)
    if queue is None or tag is None:
        return
    subscriber._consumer_tag = None
    with contextlib.suppress(Exception):  # a connection that is gone delivers nothing either
        async with asyncio.timeout(CANCEL_TIMEOUT_S):
            await queue.cancel(tag)


def make_broker(url: str, *, service: str, graceful_timeout_s: float = 15.0) -> ConsumingBroker:
    """Make the FastStream broker that a service consumes with (its publisher has a connection apart)."""
    broker = ConsumingBroker(
        connection_url(url, name=f"{service}/consume"),
        ack_policy=AckPolicy.MANUAL,
        graceful_timeout=graceful_timeout_s,
        # Its default of 5 s would win over the URL.
        reconnect_interval=RECONNECT_S,
        app_id=service,
        decoder=_undecoded,
        # Nothing is injected by type, and looking for it costs a fifth of a small message's time.
        apply_types=False,
        logger=None,
    )
    # FastStream hands these to aio-pika as they are, but takes no connection class itself.
    broker._connection_kwargs = {**broker._connection_kwargs, "connection_class": CancellableConnection}
    return broker


async def _undecoded(message: Any) -> Any:
    """Hand over the message itself: headers and body are read in one place, here."""
    return message
