"""A service begins to consume however often its connection goes meanwhile, and stops in the middle of it."""

import asyncio
from typing import Any

from laundry_events import make_broker
from laundry_service.app import Consuming


class Faststream:
    """Stands in for the app whose start waits on a connection."""

    def __init__(self, *, goes: int = 0, waits: bool = False) -> None:
        self._goes = goes
        self._waits = waits
        self.starts = 0

    async def start(self) -> None:
        self.starts += 1
        if self._waits:
            await asyncio.Event().wait()
        if self.starts <= self._goes:
            # What the library throws into whoever waits on a connection that goes.
            raise asyncio.CancelledError

    async def stop(self) -> None:
        pass


def consuming(faststream: Faststream) -> tuple[Consuming, list[str]]:
    broker: Any = make_broker("amqp://nobody:nothing@127.0.0.1:9/", service="tests")
    part, stopped = Consuming(broker), []

    async def stop() -> None:
        stopped.append("broker")

    broker.stop = stop
    part.faststream = faststream  # type: ignore[assignment]
    return part, stopped


async def test_a_connection_that_goes_while_it_subscribes_is_no_end() -> None:
    faststream = Faststream(goes=1)
    part, stopped = consuming(faststream)
    await part.start()
    async with asyncio.timeout(30):
        while not part.started:
            await asyncio.sleep(0.01)
    assert (faststream.starts, stopped) == (2, ["broker"])
    await part.stop()


async def test_a_start_that_is_under_way_is_given_up_and_cleared_away() -> None:
    faststream = Faststream(waits=True)
    part, stopped = consuming(faststream)
    await part.start()
    async with asyncio.timeout(30):
        while not faststream.starts:
            await asyncio.sleep(0.01)
        await part.stop()
    assert stopped == ["broker"]
    assert not part.started
