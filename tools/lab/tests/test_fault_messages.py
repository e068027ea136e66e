"""A fault clears away what it published itself, on a real broker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast
from unittest.mock import AsyncMock, Mock

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage

from laundry_events.plan import REQUEUE_EXCHANGE
from laundry_lab.faults import messages
from laundry_lab.faults.world import World
from laundry_testing.messaging import Messaging, eventually

pytestmark = pytest.mark.servers


@asynccontextmanager
async def nothing_else(*_: str) -> AsyncIterator[None]:
    yield


async def test_what_others_confirm_during_a_crowd_stays_where_it_waits(
    messaging: Messaging, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, others = messages.CROWDED, ["somebodys-1", "somebodys-2"]
    async with await aio_pika.connect(messaging.amqp_url) as connection, connection.channel() as channel:
        exchange = await channel.get_exchange(REQUEUE_EXCHANGE, ensure=False)

        async def confirm(name: str) -> None:
            message = aio_pika.Message(b"{}", message_id=name, delivery_mode=2)
            await exchange.publish(message, queue, timeout=10)

        async def ring(*_: object, **__: object) -> float:
            await confirm(others[1])
            return 1.0

        load = Mock(unconfirmed=nothing_else)
        stage = Mock(document={"amqp_urls": [messaging.amqp_url]})
        world: Any = Mock(load=load, stage=stage, stopped=nothing_else, progress=AsyncMock(return_value=1.0))
        monkeypatch.setattr(messages, "WAITING", 200)
        monkeypatch.setattr(messages, "NO_MORE_S", 10.0)
        monkeypatch.setattr(messages, "control_branch_rings", ring)
        await confirm(others[0])
        assert all(each.holds for each in await messages.crowd(cast(World, world)))
        waiting = await channel.get_queue(queue, ensure=False)

        async def give() -> AbstractIncomingMessage | None:
            return await waiting.get(no_ack=True, fail=False, timeout=60)

        # What a channel held goes back some time after it has closed.
        left = [await eventually(give, what="a message of others") for _ in others]
        assert sorted(str(each.message_id) for each in left) == others
        assert await give() is None
