"""The pending changes of one listener: bounded, newest states only, never dropped silently."""

import asyncio
import contextlib
from collections.abc import Callable, Hashable

from fastapi.sse import format_sse_event

QUEUE_SIZE = 256
SEND_BYTES = 64 * 1024
RESET = format_sse_event(event="reset", data_str="{}")
PING = b": ping\n\n"


class NotListening(Exception):
    """There is no LISTEN connection at the moment: a new listener would miss changes."""


class Change:
    """A new state of one thing, written once however many listen.

    Attributes:
        key: what it is the state of; a newer change of the same key takes its place.
        topic: whom it concerns (a branch, a user); none for everybody who follows.
    """

    __slots__ = ("_render", "_written", "key", "topic")

    def __init__(self, key: Hashable, topic: Hashable | None, render: Callable[[str], bytes]) -> None:
        """Take what writes the event for a variant, e.g. a language."""
        self.key = key
        self.topic = topic
        self._render = render
        self._written: dict[str, bytes] = {}

    def written(self, variant: str = "") -> bytes:
        """Return the event as it goes over the wire."""
        if variant not in self._written:
            self._written[variant] = self._render(variant)
        return self._written[variant]


def change_of(
    key: Hashable, topic: Hashable | None, *, event: str, data: str, event_id: str | None = None
) -> Change:
    """Make a change whose event is the same for everybody; ``data`` is JSON."""
    return Change(key, topic, lambda _: format_sse_event(event=event, data_str=data, id=event_id))


class Subscription:
    """The changes that wait for one listener.

    If there are too many they are replaced by one ``reset``; a list fetched after it contains them all.
    """

    def __init__(
        self, topics: frozenset[Hashable] | None, *, variant: str = "", at_most: int = QUEUE_SIZE
    ) -> None:
        """Take the topics that are followed (none: all of them) and how many changes may wait."""
        self.topics = topics
        self.ended: str | None = None
        self._variant = variant
        self._at_most = at_most
        self._waiting: dict[Hashable, Change] = {}
        self._reset = False
        self._ping = False
        self._finishing = False
        self._wake = asyncio.Event()
        self._end = asyncio.Event()

    def offer(self, change: Change) -> None:
        """Tell of a change."""
        if self._reset:
            # The list that is fetched after the reset has it.
            return
        self._waiting.pop(change.key, None)
        self._waiting[change.key] = change
        if len(self._waiting) > self._at_most:
            self.reset()
        self._wake.set()

    def reset(self) -> None:
        """Replace everything pending by one ``reset``."""
        self._waiting.clear()
        self._reset = True
        self._wake.set()

    def ping(self) -> None:
        """Send a keep-alive if nothing else is pending."""
        self._ping = True
        self._wake.set()

    def finish(self) -> None:
        """End once everything that waits is told."""
        self._finishing = True
        self._wake.set()

    def end(self, reason: str) -> None:
        """End now; pending changes are dropped."""
        if self.ended is None:
            self.ended = reason
        self._end.set()
        self._wake.set()

    async def take(self) -> bytes | None:
        """Wait for something to say and return it, at most some 64 KiB at once; none at the end."""
        while True:
            await self._wake.wait()
            if self.ended is not None:
                return None
            said = self._next()
            if not self._waiting and not self._finishing:
                self._wake.clear()
            if said:
                return said
            if self._finishing and not self._waiting:
                self.end("finished")

    def _next(self) -> bytes:
        pieces: list[bytes] = []
        if self._reset:
            self._reset = False
            pieces.append(RESET)
        size = 0
        while self._waiting and size < SEND_BYTES:
            change = self._waiting.pop(next(iter(self._waiting)))
            pieces.append(change.written(self._variant))
            size += len(pieces[-1])
        if self._ping and not pieces:
            pieces.append(PING)
        self._ping = False
        return b"".join(pieces)

    async def rest(self, seconds: float) -> None:
        """Batch changes for a while, or until the end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._end.wait()
