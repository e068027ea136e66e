"""What goes into the history waits for others, but neither long nor for ever."""

import asyncio

from operations.service.history import Departures

LONG_S = 60.0


async def test_many_leave_at_once_and_the_next_have_a_departure_of_their_own() -> None:
    departures = Departures(after_s=LONG_S, most=3)
    first = [asyncio.create_task(departures.wait()) for _ in range(3)]
    await asyncio.wait_for(asyncio.gather(*first), 5)
    late = asyncio.create_task(departures.wait())
    await asyncio.sleep(0)
    assert not late.done()
    await asyncio.wait_for(asyncio.gather(late, departures.wait(), departures.wait()), 5)


async def test_few_leave_after_a_while() -> None:
    departures = Departures(after_s=0.05, most=1000)
    await asyncio.wait_for(asyncio.gather(departures.wait(), departures.wait()), 5)
    await asyncio.wait_for(departures.wait(), 5)


async def test_who_gives_up_takes_nobody_with_him() -> None:
    departures = Departures(after_s=LONG_S, most=3)
    gone, other = asyncio.create_task(departures.wait()), asyncio.create_task(departures.wait())
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait_for(asyncio.gather(departures.wait(), other), 5)
    assert gone.cancelled()
