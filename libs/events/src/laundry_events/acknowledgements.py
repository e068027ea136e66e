"""Acknowledges deliveries, with one frame where several are ready and nothing else is meant by it.

``basic.ack`` with ``multiple`` settles everything up to a tag on its channel. So it is sent up to the first
message that is still in hand, and what is ready behind that is acknowledged one by one. Where the channel has
delivered anything that was not told here, there is no such frame.
"""

import asyncio
from collections.abc import Collection
from contextvars import Context

from aiormq.abc import AbstractChannel

from laundry_events.interruptions import uncancelled


class Acknowledgements:
    """What one channel has delivered and was not yet told about."""

    def __init__(self, channel: AbstractChannel) -> None:
        """Acknowledge on ``channel``; it is to be told of every delivery, in their order."""
        self.channel = channel
        # In the order of their tags.
        self._in_hand: dict[int, None] = {}
        self._last = 0
        self._knows_all = True
        self._ready: dict[int, asyncio.Future[None]] = {}
        self._sending: asyncio.Task[None] | None = None

    def took(self, tag: int) -> None:
        """Note a delivery; it is in hand until it is settled."""
        self._knows_all &= tag == self._last + 1
        self._last = tag
        self._in_hand[tag] = None

    def is_settled(self, tag: int) -> bool:
        """Whether the broker was told what became of a delivery."""
        return tag not in self._in_hand

    async def ack(self, tag: int) -> None:
        """Acknowledge a delivery, together with what else is ready; returns once that has been sent.

        Raises:
            aiormq.exceptions.ChannelInvalidStateError: the channel is closed, and the broker has it back.
            RuntimeError: it is settled already.
        """
        if tag not in self._in_hand or tag in self._ready:
            raise RuntimeError(f"delivery {tag} is settled already")
        sent = self._ready[tag] = asyncio.get_running_loop().create_future()
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send(), name="acknowledge", context=Context())
        await sent

    async def nack(self, tag: int) -> None:
        """Return a delivery to its queue. Raises as ``ack``."""
        await self.channel.basic_nack(tag, requeue=True)
        # Not before: what is ready behind it would else be acknowledged together with it.
        self._in_hand.pop(tag, None)

    async def _send(self) -> None:
        while self._ready:
            ready, self._ready = self._ready, {}
            try:
                for tag, multiple in self._frames(ready):
                    await uncancelled(self.channel.basic_ack(tag, multiple=multiple))
            except Exception as error:
                for sent in ready.values():
                    if not sent.done():
                        sent.set_exception(error)
                continue
            for tag, sent in ready.items():
                self._in_hand.pop(tag, None)
                if not sent.done():
                    sent.set_result(None)

    def _frames(self, ready: Collection[int]) -> list[tuple[int, bool]]:
        """Return the tags to acknowledge, and whether that is meant for everything up to them."""
        up_to, together = 0, 0
        for tag in self._in_hand if self._knows_all else ():
            if tag not in ready:
                break
            up_to, together = tag, together + 1
        whole = [(up_to, together > 1)] if together else []
        return whole + [(tag, False) for tag in sorted(ready) if tag > up_to]
