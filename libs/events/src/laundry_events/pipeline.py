"""Publishes on one channel: what is in flight together leaves in one write, and each has its own confirm.

aiormq sends one message at a time: each takes the channel's lock in turn, is written and drained before the
next. Here what comes during a write waits for it, and then leaves as a whole. What is given up before that is
not sent. The bookkeeping of confirms and returns stays the library's.
"""

import asyncio
from collections import deque
from contextvars import Context
from dataclasses import dataclass

from aiormq.abc import AbstractChannel, ChannelFrame
from aiormq.channel import Channel

from laundry_events.frames import AROUND, publish_frames
from laundry_events.libraries import UnsupportedLibrary, require, require_made

WRITE_BYTES = 64 * 1024
"""So much leaves in one write; the broker has something to do while the rest is encoded."""

require_made(
    "aiormq", Channel, "confirmations", "delivery_tag", "message_id_delivery_tag", "number", "write_queue"
)
require("aiormq", Channel, "closing", "_confirm_delivery")


@dataclass(eq=False, slots=True)
class _Sending:
    message_id: str
    frames: bytes
    confirmed: "asyncio.Future[object]"
    tag: int = 0


class Pipeline:
    """The publishing end of a channel with confirms. Nothing else publishes on that channel."""

    def __init__(self, channel: AbstractChannel) -> None:
        """Publish on ``channel`` until it closes.

        Raises:
            UnsupportedLibrary: it is none of aiormq's own.
        """
        if not isinstance(channel, Channel):
            raise UnsupportedLibrary("aiormq", f"has made a {type(channel).__name__}")
        self.channel = channel
        self._body_bytes = channel.connection.connection_tune.frame_max - AROUND
        self._waiting: deque[_Sending] = deque()
        self._writing: asyncio.Task[None] | None = None
        channel.closing.add_done_callback(self._fail)

    @property
    def is_closed(self) -> bool:
        """Whether its channel is gone, and nothing can be published any more."""
        return self.channel.is_closed

    async def publish(
        self, exchange: str, routing_key: str, body: bytes, *, properties: bytes, message_id: str
    ) -> None:
        """Publish and wait for the confirm; cancelling gives up a message, which may have been sent.

        Args:
            properties: encoded, with ``message_id`` among them.

        Raises:
            aiormq.exceptions.PublishError: no queue takes it.
            aiormq.exceptions.DeliveryError: the broker refuses it.
            aiormq.exceptions.AMQPError, OSError: the channel went before it was confirmed.
            ValueError: it cannot be encoded.
        """
        if self.channel.is_closed:
            raise ConnectionError("the channel is closed")
        frames = publish_frames(
            self.channel.number, exchange, routing_key, properties, body, most_bytes=self._body_bytes
        )
        sending = _Sending(message_id, frames, self.channel.loop.create_future())
        self._waiting.append(sending)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write(), name="publisher-write", context=Context())
        try:
            await sending.confirmed
        finally:
            # Two may have one id; what is returned was the last of them.
            tags = self.channel.message_id_delivery_tag
            if tags.get(message_id) == sending.tag:
                del tags[message_id]

    async def _write(self) -> None:
        while self._waiting:
            drained: asyncio.Future[None] = self.channel.loop.create_future()
            frames = self._taken()
            if not frames:
                return
            await self.channel.write_queue.put(
                ChannelFrame(payload=frames, should_close=False, drain_future=drained)
            )
            # Holds back the rest while the broker does not read.
            await drained

    def _taken(self) -> bytes:
        """Number what waits, in the order in which it is sent; returns its frames."""
        channel, frames, size = self.channel, list[bytes](), 0
        while self._waiting and size < WRITE_BYTES:
            sending = self._waiting.popleft()
            if sending.confirmed.done():
                continue
            channel.delivery_tag += 1
            sending.tag = channel.delivery_tag
            channel.confirmations[sending.tag] = sending.confirmed
            channel.message_id_delivery_tag[sending.message_id] = sending.tag
            frames.append(sending.frames)
            size += len(sending.frames)
        return b"".join(frames)

    def _fail(self, closing: "asyncio.Future[object]") -> None:
        """Tell all who wait that the channel is gone."""
        error = None if closing.cancelled() else closing.exception()
        if not isinstance(error, Exception):
            error = ConnectionError("the channel closed")
        if self._writing is not None:
            self._writing.cancel()
        waiting = [*self.channel.confirmations.values(), *(each.confirmed for each in self._waiting)]
        self._waiting.clear()
        for confirmed in waiting:
            if not confirmed.done():
                confirmed.set_exception(error)
                # Who waited may be gone by then.
                confirmed.exception()
