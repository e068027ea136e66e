"""Tells a cancellation that somebody asked for from one that a library made up."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from laundry_events.errors import InterruptedHandling

T = TypeVar("T")


async def uncancelled(handling: Awaitable[T]) -> T:
    """Await a handler; a cancellation raised by a library inside it counts as an ordinary failure.

    Otherwise it would bypass ``except Exception`` and leave the message unacked as long as the channel lives.
    """
    try:
        return await handling
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise InterruptedHandling("something that the handler waited for was cancelled") from error
