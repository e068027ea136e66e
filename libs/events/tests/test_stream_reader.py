"""A stream is read to its end, whatever its chunks, and from a moment or about one thing."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import aio_pika
import httpx
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


class Growing:
    """A channel to a stream that holds some messages, and gets a few more at each look."""

    is_closed = False

    def __init__(self, held: int, more: int) -> None:
        self._waiting, self._more = held, more
        self._deliver: Callable[[Any], Awaitable[None]] | None = None
        self.looks = 0
        self.cancelled: list[str] = []

    async def set_qos(self, *, prefetch_count: int, timeout: float) -> None:
        if self._deliver is None:
            return
        self.looks += 1
        assert self.looks < 100, "it is read on and on"
        for _ in range(min(self._waiting, prefetch_count)):
            await self._deliver(SimpleNamespace(ack=self.ack))
        self._waiting = max(0, self._waiting - prefetch_count) + self._more

    async def get_queue(self, *_: Any, **__: Any) -> "Growing":
        return self

    async def consume(self, deliver: Callable[[Any], Awaitable[None]], **_: Any) -> str:
        self._deliver = deliver
        return "tag"

    async def ack(self, *, multiple: bool) -> None:
        assert multiple

    async def cancel(self, tag: str, **_: Any) -> None:
        self.cancelled.append(tag)


@pytest.mark.parametrize("held", [0, AT_ONCE, 3 * AT_ONCE + 1])
async def test_a_stream_that_grows_all_the_while_is_read_to_where_it_ended(held: int) -> None:
    channel: Any = Growing(held, more=3)
    found = [each async for each in read_stream(channel, HISTORY)]
    assert held <= len(found) < held + 3 * channel.looks + AT_ONCE
    assert channel.looks <= held // AT_ONCE + 2
    assert channel.cancelled == ["tag"]


async def test_who_reads_from_a_moment_or_about_one_thing_gets_all_of_it(messaging: Messaging) -> None:
    await fill(messaging, range(200), about=50)
    await fill(messaging, range(200, 300), about=50)
    seven = {str(number) for number in range(300) if number % 50 == 7}
    assert seven <= set(await ids(messaging, about="thing-7"))
    assert await ids(messaging, about="nobody") == [], "the broker leaves out what holds none of it"
    assert len(await ids(messaging, since=datetime.now(UTC) - timedelta(minutes=5))) == 300


async def consumers(messaging: Messaging) -> list[dict[str, Any]]:
    """Who reads the history; passively declared, a stream tells of nobody."""
    login = (messaging.broker.username, messaging.broker.password)
    async with httpx.AsyncClient(auth=login, timeout=30, verify=messaging.broker.verify) as client:
        url = f"{messaging.broker.management_url}/api/consumers/{quote(messaging.vhost, safe='')}"
        answer = (await client.get(url)).raise_for_status()
    return [each for each in answer.json() if each["queue"]["name"] == HISTORY]


async def gone(messaging: Messaging) -> bool:
    return not await consumers(messaging)


async def test_who_stops_reading_leaves_nothing_behind(messaging: Messaging) -> None:
    await fill(messaging, range(2 * AT_ONCE))
    async with messaging.channel() as channel:
        reading = read_stream(channel, HISTORY)
        async for message in reading:
            assert message.message_id is not None
            break
        await eventually(lambda: consumers(messaging), what="the consumer")
        await reading.aclose()  # type: ignore[attr-defined]
        assert not channel.is_closed
        # While the channel lives, which would end what it holds.
        await eventually(lambda: gone(messaging), what="the consumer's end")
