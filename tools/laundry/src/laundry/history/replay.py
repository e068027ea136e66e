"""Replays events to one consumer, through its own queue."""

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable
from datetime import UTC, datetime

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection

from laundry.history.effects import Places, done_in, is_judged
from laundry.history.log import Happening, Outline
from laundry_events.envelope import CONTENT_TYPE
from laundry_events.headers import REPLAYED
from laundry_events.plan import Queue
from laundry_servers.errors import LaundryError

WAITING_AT_MOST = 2_000
"""At most this many replayed messages wait in the queue at once, as new events queue up behind them."""

SIFTED_AT = 20_000
POLL_S = 0.2
LOOK_S = 1.0
LETTERS_EVERY = 5
TIMEOUT_S = 30.0
STALLED_S = 600.0
"""A consumer that takes nothing for so long is not waited for any longer."""


class Patience:
    """Ends a wait in which nothing gets less for too long."""

    def __init__(self, why: str) -> None:
        """Say ``why`` then, and what to do."""
        self._why = why
        self._least: int | None = None
        self._since = time.monotonic()

    def look(self, number: int) -> None:
        """Note how many are waited for. Raises LaundryError if there have been no fewer for ``STALLED_S``."""
        now = time.monotonic()
        if self._least is None or number < self._least:
            self._least, self._since = number, now
        elif now - self._since >= STALLED_S:
            raise LaundryError(f"{number:,} events have waited for {STALLED_S / 60:g} minutes. {self._why}")


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
        LaundryError: nobody takes them.
    """
    number = 0
    marked = {REPLAYED: datetime.now(UTC).isoformat(timespec="seconds")} if silent else {}
    batches = aiter(happenings)
    async with connection.channel(publisher_confirms=True, on_return_raises=True) as channel:
        while True:
            # Before they are read: they name people as these are named then, and an erasure does not wait.
            await _room(channel, queue)
            some = await anext(batches, None)
            if some is None:
                return number
            await asyncio.gather(*(_send(channel, queue, each, marked) for each in some))
            number += len(some)
            tell(number)


class Following:
    """Follows what becomes of the events that are put into a queue."""

    def __init__(self, queue: Queue, places: Places) -> None:
        """Look into the inbox of the queue's consumer, and at its dead letters."""
        self._queue = queue
        self._places = places
        self._open: list[Outline] = []

    async def through(self, happenings: AsyncIterable[list[Happening]]) -> AsyncIterator[list[Happening]]:
        """Yield what is put into the queue, and remember it until it is handled."""
        async for some in happenings:
            yield some
            self._open += [each.outline for each in some]
            if len(self._open) >= SIFTED_AT:
                await self._sift()

    async def handled(self, what_to_do: str, *, tell: Callable[[int], object] = lambda _: None) -> None:
        """Wait until each had its effect or is a dead letter. That live events come all the while is nothing.

        Raises:
            LaundryError: none is handled any more; ``what_to_do`` then. Or a database does not answer.
        """
        if not is_judged(self._queue, self._places):
            raise LaundryError(
                f"Whether {self._queue.consumer} has handled them cannot be told. {what_to_do}"
            )
        patience, looks = Patience(what_to_do), 0
        while True:
            await self._sift()
            if self._open and looks % LETTERS_EVERY == 0:
                dead, _ = await self._places.dead_in(self._queue.name)
                self._open = [each for each in self._open if each.id not in dead]
            if not self._open:
                return
            tell(len(self._open))
            patience.look(len(self._open))
            looks += 1
            await asyncio.sleep(LOOK_S)

    async def _sift(self) -> None:
        done = await done_in(self._queue, self._open, self._places, ())
        self._open = [each for each in self._open if each.id not in done]


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
    patience = Patience(
        f"Does anybody take from {queue} (laundry status)? It is safe to begin again once somebody does."
    )
    while True:
        declared = await channel.declare_queue(queue, passive=True, timeout=TIMEOUT_S)
        waiting = int(declared.declaration_result.message_count or 0)
        if waiting < WAITING_AT_MOST:
            return
        patience.look(waiting)
        await asyncio.sleep(POLL_S)
