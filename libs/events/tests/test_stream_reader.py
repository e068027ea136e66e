"""A stream is read to its end, whatever its chunks, and from a moment or about one thing."""

import asyncio
import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import aio_pika
import pytest

from laundry_events.plan import Plan
from laundry_events.stream_reader import AT_ONCE, FILTER_VALUE, offset_of, read_stream
from laundry_events.topology import HISTORY, HISTORY_EXCHANGE, PLAN
from laundry_testing.messaging import Messaging, eventually

pytestmark = pytest.mark.servers
KEY = "task.read"


@pytest.fixture
def broker_plan() -> Plan:
    return replace(PLAN, queues=(PLAN.queue(HISTORY),))


async def fill(messaging: Messaging, numbers: range, *, about: int = 1) -> None:
    """Publish messages, each about one of so many things."""
    async with messaging.channel() as channel:
        exchange = await channel.get_exchange(HISTORY_EXCHANGE, ensure=False)

        async def publish(number: int) -> None:
            message = aio_pika.Message(
                b"x",
                message_id=str(number),
                headers={FILTER_VALUE: f"thing-{number % about}"},
                delivery_mode=2,
            )
            await exchange.publish(message, KEY, timeout=10)

        await asyncio.gather(*(publish(number) for number in numbers))


async def ids(messaging: Messaging, **how: object) -> list[str]:
    async with messaging.channel() as channel:
        found = [each async for each in read_stream(channel, HISTORY, **how)]  # type: ignore[arg-type]
    offsets = [offset_of(each) for each in found]
    assert offsets == sorted(set(offsets)), "in order, and each once"
    return [str(each.message_id) for each in found]


async def test_it_is_read_to_its_end(messaging: Messaging) -> None:
    assert await ids(messaging) == []
    filled = 0
    # Fewer than are taken at once, exactly as many, one more, and many.
    for more in (1, AT_ONCE - 1, 1, 3 * AT_ONCE):
        await fill(messaging, range(filled, filled + more))
        filled += more
        assert sorted(map(int, await ids(messaging))) == list(range(filled))


async def test_a_stream_that_grows_all_the_while_is_read_to_where_it_ended(messaging: Messaging) -> None:
    await fill(messaging, range(100))
    growing = [asyncio.create_task(_grow(messaging, lane)) for lane in range(4)]
    try:
        await eventually(lambda: _holds_more_than(messaging, 200), what="the stream grows")
        async with asyncio.timeout(60):
            found = await ids(messaging)
        assert not any(task.done() for task in growing), "it grew to the end"
    finally:
        for task in growing:
            task.cancel()
        await asyncio.gather(*growing, return_exceptions=True)
    assert set(map(str, range(100))) <= set(found)


async def _grow(messaging: Messaging, lane: int) -> None:
    for round_ in itertools.count(1):
        first = 100_000 * (lane + 1) + 50 * round_
        await fill(messaging, range(first, first + 50))


async def _holds_more_than(messaging: Messaging, messages: int) -> bool:
    return await messaging.count(HISTORY) > messages


async def test_who_reads_from_a_moment_or_about_one_thing_gets_all_of_it(messaging: Messaging) -> None:
    await fill(messaging, range(200), about=50)
    await fill(messaging, range(200, 300), about=50)
    seven = {str(number) for number in range(300) if number % 50 == 7}
    assert seven <= set(await ids(messaging, about="thing-7"))
    assert await ids(messaging, about="nobody") == [], "the broker leaves out what holds none of it"
    assert len(await ids(messaging, since=datetime.now(UTC) - timedelta(minutes=5))) == 300


async def test_who_stops_reading_leaves_nothing_behind(messaging: Messaging) -> None:
    await fill(messaging, range(2 * AT_ONCE))
    async with messaging.channel() as channel:
        reading = read_stream(channel, HISTORY)
        async for message in reading:
            assert message.message_id is not None
            break
        await reading.aclose()  # type: ignore[attr-defined]
        assert not channel.is_closed
    assert await messaging.consumers(HISTORY) == 0
