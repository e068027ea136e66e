"""The generator's own process: it sends, measures how late it was itself, and reports both at the end."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from laundry_lab.load.arrivals import OpenLoop, Requests
from laundry_lab.load.targets import Accepted, publishes, uploads

SOON_S = 0.5
TELL_EVERY_S = 0.5

Tell = Callable[..., None]


async def generate(order: dict[str, Any], stop: asyncio.Event, tell: Tell) -> dict[str, Any]:
    """Send what ``order`` asks until it is done or ``stop`` is set.

    Tells ``began`` with the moment at which the schedule begins, by the monotonic and by the wall clock, then
    ``sent`` with how many requests were due so far.
    """
    due: list[float] = order["due"]
    requests, accepted = Requests.scheduled(due), Accepted()
    tell("ready")
    target = publishes if order["straight"] else uploads
    async with target(order, accepted) as send:
        loop = OpenLoop(send, at_once=order["at_once"], waiting=order["waiting"], grace_s=order["grace_s"])
        began = time.monotonic() + SOON_S
        tell("began", at=began, wall=time.time() + SOON_S)
        telling = asyncio.create_task(_tell(loop, tell))
        used = time.process_time()
        try:
            await loop.run(due, stop, began=began, requests=requests)
        finally:
            telling.cancel()
    return {
        "requests": requests.document(),
        "accepted": asdict(accepted),
        "processor_s": time.process_time() - used,
    }


async def _tell(loop: OpenLoop, tell: Tell) -> None:
    while True:
        await asyncio.sleep(TELL_EVERY_S)
        tell("sent", arrived=loop.arrived)
