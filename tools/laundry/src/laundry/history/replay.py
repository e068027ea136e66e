"""Replays events to one consumer, through its own queue."""

import asyncio
from collections.abc import AsyncIterable, Callable
from datetime import UTC, datetime

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection

from laundry.history.log import Happening
from laundry_events.envelope import CONTENT_TYPE
from laundry_events.headers import REPLAYED

WAITING_AT_MOST = 2_000
"""At most this many replayed messages wait in the queue at once, as new events queue up behind them."""

POLL_S = 0.2
TIMEOUT_S = 30.0


async def replay(
    connection: AbstractConnection,
    queue: str,
    happenings: AsyncIterable[list[Happening]],
    *,
    silent: bool,
    tell: Callable[[int], object] = lambda _: None,
) -> int:
    """Put events into one queue, each under its own id; returns how many.

    They go there by the broker's default exchange, to which an administrator alone may publish: no other
    queue gets a copy, and no consumer takes them for a dead letter that came back.

    Args:
        silent: they had their effect before: whoever is outside of the service hears of none.

    Raises:
        aio_pika.exceptions.AMQPError: the broker did not take one. It is safe to begin again.
    """
    number = 0
    marked = {REPLAYED: datetime.now(UTC).isoformat(timespec="seconds")} if silent else {}
    async with connection.channel(publisher_confirms=True, on_return_raises=True) as channel:
        async for some in happenings:
            await _room(channel, queue)
            await asyncio.gather(*(_send(channel, queue, each, marked) for each in some))
            number += len(some)
            tell(number)
    return number


async def _send(channel: AbstractChannel, queue: str, happening: Happening, marked: dict[str, str]) -> None:
    message = aio_pika.Message(
        happening.event.model_dump_json().encode(),
        headers={**happening.headers, **marked},
        message_id=happening.id,
        content_type=CONTENT_TYPE,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )
    await channel.default_exchange.publish(message, queue, mandatory=True, timeout=TIMEOUT_S)


async def _room(channel: AbstractChannel, queue: str) -> None:
    while True:
        declared = await channel.declare_queue(queue, passive=True, timeout=TIMEOUT_S)
        if int(declared.declaration_result.message_count or 0) < WAITING_AT_MOST:
            return
        await asyncio.sleep(POLL_S)
