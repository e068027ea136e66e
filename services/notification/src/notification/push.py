"""What a push is, and what FCM's answer means for it.

The library's own retry is not used: its blocking send waits for ``Retry-After`` four times over and its
asynchronous one gives up a 429 at once, and a fault has 15 s (DD-02 DG-05).
"""

import random
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from notification.texts import Text

FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 30.0
LONGEST_ASKED_S = 60.0
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
        rings: makes a sound; else it is shown only.
    """

    notification_id: str
    token: str
    text: Text
    data: dict[str, str]
    tag: str
    urgent: bool
    rings: bool = False


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


def next_pause(failures: int, retry_after_s: float | None) -> float:
    """Return the seconds until a fault's next try on this phone: 0.25, 0.5, 1, ... at most 30, with jitter.

    Args:
        failures: tries in a row that failed, 1 or more.
        retry_after_s: how long FCM asked to wait; honoured up to a minute.
    """
    backoff = min(FIRST_PAUSE_S * 2.0 ** min(failures - 1, 20), LONGEST_PAUSE_S)
    return max(backoff * random.uniform(0.75, 1.0), min(retry_after_s or 0.0, LONGEST_ASKED_S))  # noqa: S311
