"""How a push is tried: what each answer means, and retrying within a budget.

The library's own retry is not used: its blocking send waits for ``Retry-After`` four times over and its
asynchronous one gives up a 429 at once, and a fault has 15 s (DD-02 DG-05).
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from notification.texts import Text

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 2.0
CONCURRENT = 50
URGENT_TTL = timedelta(hours=1)
"""How long a fault may ring a phone: FCM keeps it so long for one that is off, and we send none later."""


class Verdict(StrEnum):
    """What became of one push request."""

    SENT = "sent"
    GONE = "gone"
    REFUSED = "refused"
    LATER = "later"


@dataclass(frozen=True)
class Push:
    """One alert for one device.

    Attributes:
        tag: equal tags show as one alert on the phone, so that sending again is harmless.
        urgent: wakes a sleeping phone.
    """

    notification_id: str
    token: str
    text: Text
    data: dict[str, str]
    tag: str
    urgent: bool


@dataclass(frozen=True)
class Answer:
    """FCM's answer.

    Attributes:
        verdict: ``gone``: the token is dead; ``refused``: never to be taken; ``later``: try again.
        retry_after_s: how long FCM asks to wait.
    """

    verdict: Verdict
    error: str | None = None
    retry_after_s: float | None = None


class Pusher(Protocol):
    """Sends one push; never raises for what FCM or the network does."""

    async def push(self, push: Push) -> Answer:
        """Try once."""


def next_pause(tries: int, retry_after_s: float | None, left_s: float, attempt_s: float) -> float | None:
    """Return how long to wait before the next try, ``None`` when no further one fits.

    Backs off 0.25, 0.5, 1, then 2 s with jitter. A longer ``Retry-After`` is honoured as far as the budget
    goes: the last try is made while it can still end in time.

    Args:
        tries: tries made, 1 or more.
        left_s: seconds left of the budget.
        attempt_s: seconds that a try may take.
    """
    pause = min(FIRST_PAUSE_S * 2.0 ** min(tries - 1, 10), LONGEST_PAUSE_S) * random.uniform(0.75, 1.0)  # noqa: S311
    pause = max(pause, retry_after_s or 0.0)
    latest = left_s - attempt_s
    if latest <= 0:
        return None
    return min(pause, latest)


async def push_within(
    pusher: Pusher,
    pushes: Sequence[Push],
    *,
    budget_s: float,
    attempt_s: float,
    settle: Callable[[Push, Answer], Awaitable[None]],
) -> list[Answer]:
    """Send to every device, retrying what may yet succeed, each apart from the others.

    Args:
        budget_s: no try starts later than this.
        settle: called once for each push with its last answer, as soon as that is known.

    Returns:
        the last answer of each push, in their order.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + budget_s
    slots = asyncio.Semaphore(CONCURRENT)

    async def one(push: Push) -> Answer:
        tries = 0
        while True:
            tries += 1
            async with slots:
                answer = await pusher.push(push)
            pause = None
            if answer.verdict is Verdict.LATER:
                pause = next_pause(tries, answer.retry_after_s, deadline - loop.time(), attempt_s)
            if pause is None:
                await settle(push, answer)
                return answer
            await asyncio.sleep(pause)

    # A group ends its members when one fails: nothing is sent after the caller let go of the devices.
    async with asyncio.TaskGroup() as group:
        tries = [group.create_task(one(push)) for push in pushes]
    return [task.result() for task in tries]
