"""A queue full of dead letters is answered in part, and says so."""

import asyncio

import aio_pika
import pytest

from laundry_events.plan import DEAD_EXCHANGE
from laundry_testing.messaging import Messaging
from operations.service import letters as reader

from .conftest import DEAD, FAILED, QUEUE, World, holds

NUMBER = 300


@pytest.mark.servers
async def test_what_takes_too_long_is_counted_in_part_and_nothing_is_lost(
    world: World, messaging: Messaging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "LOOK_S", 0.0)
    async with messaging.channel() as channel:
        exchange = await channel.get_exchange(DEAD_EXCHANGE, ensure=False)
        letters = [
            aio_pika.Message(b"{}", message_id=f"m{number}", headers=FAILED, delivery_mode=2)
            for number in range(NUMBER)
        ]
        await asyncio.gather(*(exchange.publish(letter, DEAD) for letter in letters))
    await holds(messaging, DEAD, NUMBER)
    page = await world.get("/dead-letters", queue=QUEUE)
    [looked] = page["queues"]
    assert (looked["waiting"], looked["looked_at"]) == (NUMBER, 1)
    assert [group["count"] for group in page["groups"]] == [1]
    await holds(messaging, DEAD, NUMBER)
