"""What a push is, what the answer to it means, and when to try again.

The library's own retry is not used: its blocking send waits for ``Retry-After`` four times over and its
asynchronous one gives up on a 429 at once, and a fault has 15 s (DD-02 DG-05).
"""

import random
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Protocol

from notification.model import BrowserKeys
from notification.texts import Text

URGENT_TTL = timedelta(hours=1)
"""How long a fault may alert a phone: it is kept this long for one that is off, and none is sent later."""
CALM_TTL = timedelta(days=1)
FCM = "fcm"


def service_of(token: str) -> str:
    """Return which push service a device's token is of: ``fcm``, or the host of a browser's endpoint."""
    _, is_address, rest = token.partition("://")
    return rest.partition("/")[0] if is_address else FCM


class PushStatus(StrEnum):
    """What became of one push request; ``PushResult`` explains each."""

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
        sound: makes a sound; else it is shown only.
        ttl: how long it is kept for a phone that is off; ``None``: as is usual for its urgency.
        keys: of the browser whose endpoint the token is; ``None``: FCM delivers it.
    """

    notification_id: str
    token: str
    text: Text
    data: dict[str, str]
    tag: str
    urgent: bool
    sound: bool = False
    keys: BrowserKeys | None = None
    ttl: timedelta | None = None

    @property
    def kept_for(self) -> timedelta:
        """How long it is kept for a phone that is off."""
        return self.ttl or (URGENT_TTL if self.urgent else CALM_TTL)


@dataclass(frozen=True)
class PushResult:
    """What a push service's answer means.

    Attributes:
        status: ``gone``: the token is dead; ``refused``: will never be accepted; ``later``: try again.
        retry_after_s: how long it asks to wait.
    """

    status: PushStatus
    error: str | None = None
    retry_after_s: float | None = None


class Pusher(Protocol):
    """Sends one push; never raises for errors of a push service or the network."""

    async def push(self, push: Push) -> PushResult:
        """Make one request and classify the answer."""


class PusherByDevice:
    """Sends each push the way its device takes it."""

    def __init__(self, *, phones: Pusher, browsers: Pusher | None) -> None:
        """Send through these; without ``browsers`` Web Push is not set up."""
        self._phones = phones
        self._browsers = browsers

    async def push(self, push: Push) -> PushResult:
        """Make one request and classify the answer."""
        if push.keys is None:
            return await self._phones.push(push)
        if self._browsers is None:
            return PushResult(PushStatus.REFUSED, "Web Push is not set up here any more")
        return await self._browsers.push(push)


@dataclass(frozen=True)
class Backoff:
    """How long to wait between the tries of a push: twice as long each time, or as long as is asked for.

    Attributes:
        first_s, longest_s: the first pause, and the longest.
        longest_asked_s: a push service's wish is honoured up to this.
        jitter: each pause is shorter by a random share up to this.
    """

    first_s: float
    longest_s: float
    longest_asked_s: float
    jitter: float = 0.0

    def delay_s(self, failures: int, retry_after_s: float | None) -> float:
        """Return the seconds until the next try.

        Args:
            failures: tries in a row that failed, 1 or more.
            retry_after_s: how long the push service asked to wait.
        """
        backoff = min(self.first_s * 2.0 ** min(failures - 1, 20), self.longest_s)
        spread = random.uniform(1 - self.jitter, 1.0)  # noqa: S311
        return max(backoff * spread, min(retry_after_s or 0.0, self.longest_asked_s))


FAULT_BACKOFF = Backoff(first_s=0.25, longest_s=30, longest_asked_s=60, jitter=0.25)
RECOMMENDATION_BACKOFF = Backoff(first_s=2, longest_s=600, longest_asked_s=600)
