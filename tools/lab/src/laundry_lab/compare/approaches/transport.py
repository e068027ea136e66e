"""The way alone, without database and work: how long a message of 1 KB takes, and how many go in a second.

DD-02 gives such figures for each approach. What its helper and its consumers do around them is in ``trials``.
"""

import asyncio
import struct
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol

from laundry_lab.compare.approaches.design import Addresses

SINGLE, PAUSE_S = 300, 0.002
MANY = 20_000
IN_FLIGHT = 256
BYTES = 1024
HEAD = struct.Struct("d")


class Way(Protocol):
    """Sends and takes as one design does, confirmed and acknowledged if it knows such a thing."""

    async def send(self, addresses: Addresses, pacer: "Pacer") -> None:
        """Send each body that the pacer gives."""

    async def take(self, addresses: Addresses, taken: "Taken") -> None:
        """Connect, tell ``taken`` so, and give it each body until it is complete."""


@dataclass
class Pacer:
    """Bodies to send, each with its time: some one after another with pauses, or many at once."""

    number: int
    pause_s: float = 0.0

    def body(self) -> bytes:
        """Return a body that says when it was made."""
        return HEAD.pack(time.monotonic()).ljust(BYTES, b"x")

    async def send_each(self, send: Callable[[bytes], Awaitable[object]]) -> None:
        """Send every body: one at a time where there are pauses, else many in flight at once."""
        left = iter(range(self.number))

        async def lane() -> None:
            for _ in left:
                await send(self.body())
                if self.pause_s:
                    await asyncio.sleep(self.pause_s)

        async with asyncio.TaskGroup() as lanes:
            for _ in range(1 if self.pause_s else IN_FLIGHT):
                lanes.create_task(lane())


@dataclass
class Taken:
    """What arrived: seconds of each on its way, and when the first and the last one came."""

    number: int
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    seconds: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def add(self, body: bytes) -> bool:
        """Note a body; true if it was the last."""
        now = time.monotonic()
        self.seconds.append(now - HEAD.unpack_from(body)[0])
        self.times.append(now)
        return len(self.times) >= self.number

    @property
    def rate(self) -> float:
        """Messages a second between the first and the last."""
        return (len(self.times) - 1) / max(self.times[-1] - self.times[0], 1e-9)


def way_of(order: Mapping[str, Any]) -> Way:
    """Return the way of a design's folder."""
    found: Way = import_module(f"laundry_lab.compare.approaches.{order['folder']}.way").Way()
    return found
