"""Server-sent events: whoever listens to a channel is told what changed there."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from fastapi.sse import ServerSentEvent

from laundry_service.http.problems import Problem

Item = dict[str, Any]
RESET: Item = {}


class FakeStreams:
    """The streams of all services, until ``stopping`` is set."""

    def __init__(self) -> None:
        self.listeners: dict[str, set[asyncio.Queue[Item | None]]] = {
            "tasks": set(),
            "notifications": set(),
            "equipment": set(),
            "runs": set(),
            "matches": set(),
        }
        self.streams_work = True
        self.stopping = asyncio.Event()

    def tell(self, channel: str, item: Item) -> None:
        for queue in self.listeners[channel]:
            queue.put_nowait(dict(item))

    def reset(self, channel: str) -> None:
        """Tell the listeners that something was left out."""
        for queue in self.listeners[channel]:
            queue.put_nowait(RESET)

    def break_streams(self) -> None:
        """End the streams that are open, as a service that stops does."""
        for queues in self.listeners.values():
            for queue in queues:
                queue.put_nowait(None)

    async def events(self, channel: str, name: str) -> AsyncIterator[ServerSentEvent]:
        if not self.streams_work:
            raise Problem(503, "away", "No stream just now.")
        queue: asyncio.Queue[Item | None] = asyncio.Queue()
        self.listeners[channel].add(queue)
        stopping = asyncio.ensure_future(self.stopping.wait())
        try:
            yield ServerSentEvent(event="ready", data={})
            while True:
                item = asyncio.ensure_future(queue.get())
                while not item.done() and not stopping.done():
                    await asyncio.wait({item, stopping}, timeout=1, return_when=asyncio.FIRST_COMPLETED)
                    # Pages give up a stream that says nothing, and one in a hurry soon.
                    yield ServerSentEvent(comment="keep-alive")
                if not item.done():
                    item.cancel()
                    return
                if (changed := item.result()) is None:
                    return
                yield ServerSentEvent(event="reset" if changed is RESET else name, data=changed)
        finally:
            self.listeners[channel].discard(queue)
            stopping.cancel()
