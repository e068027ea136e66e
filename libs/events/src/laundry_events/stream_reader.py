"""Reads a stream up to its present end: for whoever looks and goes, not for who follows it."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from laundry_events import wire  # noqa: F401 - no message may end a connection

FILTER_VALUE = "x-stream-filter-value"
"""What a message is about, by which the broker leaves out whole chunks for a reader of one thing."""

OFFSET = "x-stream-offset"
AT_ONCE = 500
TIMEOUT_S = 30.0


async def read_stream(
    channel: AbstractChannel, stream: str, *, since: datetime | None = None, about: str | None = None
) -> AsyncIterator[AbstractIncomingMessage]:
    """Yield the messages of a stream, oldest first, up to its end when that is reached: it may go on growing.

    Args:
        channel: one that nothing else uses.
        since: from the chunk that holds this moment: some messages before it come too.
        about: only chunks that may hold this filter value: messages with others come too.
    """
    arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    arguments: dict[str, Any] = {"x-stream-offset": "first" if since is None else since}
    if about is not None:
        arguments["x-stream-filter"] = [about]
    await channel.set_qos(prefetch_count=AT_ONCE, timeout=TIMEOUT_S)
    queue = await channel.get_queue(stream, ensure=False)
    tag = await queue.consume(arrived.put, arguments=arguments, timeout=TIMEOUT_S)
    try:
        while True:
            # The broker delivers whatever the prefetch lets in before it answers what was asked after: if
            # less came by then, that was all. What comes later is not waited for: it may never end.
            await channel.set_qos(prefetch_count=AT_ONCE, timeout=TIMEOUT_S)
            some = [arrived.get_nowait() for _ in range(arrived.qsize())]
            for message in some:
                yield message
            if len(some) < AT_ONCE:
                return
            await some[-1].ack(multiple=True)
    finally:
        if not channel.is_closed:
            await queue.cancel(tag, timeout=TIMEOUT_S)


def offset_of(message: AbstractIncomingMessage) -> int:
    """Return where in its stream a message stands."""
    offset = message.headers.get(OFFSET)
    if not isinstance(offset, int):
        raise TypeError(f"a message without {OFFSET} is from no stream")
    return offset
