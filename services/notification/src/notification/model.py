"""What this service stores and sends: devices, announcements, notifications and deliveries."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from notification.texts import Language, Texts

Kind = Literal["equipment_fault", "branch_match"]
Platform = Literal["android", "ios", "web"]
Role = Literal["owner", "customer", "operator"]
# On standby: an owner who is told if nobody before him acknowledges the fault.
State = Literal["standby", "pending", "sent", "failed", "no_device", "suppressed", "expired"]
# Failed deliveries are tried again if the message comes again (a redrive); refused and expired ones never.
DeliveryState = Literal["pending", "sent", "failed", "refused", "expired"]

# An owner is told of faults, an operator of those that nobody acknowledges, a customer of branches; a person
# with several roles reads each with that token.
KIND_FOR: Mapping[Role, Kind] = {
    "owner": "equipment_fault",
    "operator": "equipment_fault",
    "customer": "branch_match",
}


@dataclass(frozen=True)
class BrowserKeys:
    """What a browser's pushes are encrypted with, as in its ``PushSubscription``: base64url."""

    p256dh: str
    auth: str


def device_id(token: str) -> str:
    """Return what a device is called where its token must not be shown: who knows that can push to it."""
    return hashlib.sha256(token.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Device:
    """A phone or browser that takes pushes.

    Attributes:
        token: FCM's registration token, or a browser's endpoint.
        keys: a browser's; ``None`` for a phone, which FCM pushes to.
        name: what its user calls it or it calls itself; may be empty.
    """

    token: str
    user_id: str
    role: Role
    platform: Platform
    language: Language
    branches: tuple[str, ...]
    name: str = ""
    keys: BrowserKeys | None = None


@dataclass(frozen=True)
class RegisteredDevice:
    """A device as it is stored.

    Attributes:
        reached_at: when a push last reached its push service; ``None`` if none has yet.
    """

    device: Device
    created_at: datetime
    registered_at: datetime
    reached_at: datetime | None


@dataclass(frozen=True)
class Announcement:
    """Something to tell users: each whom it concerns gets one notification of it.

    Attributes:
        subject: what it is about; a user is told of it once, however often the event comes.
        content: what it says, if the same is not told twice under another subject.
        escalation: how often a fault was passed on because nobody acknowledged it.
        silent: it is found in the history, and rings on no phone.
        traceparent: of the trace that it is told in.
    """

    kind: Kind
    subject: str
    event_id: str
    branch_id: str
    texts: Texts
    data: dict[str, str]
    content: str | None = None
    escalation: int = 0
    silent: bool = False
    traceparent: str | None = None


@dataclass(frozen=True)
class Reader:
    """Whose notifications are read.

    Attributes:
        branches: only those of these branches; ``None`` for all.
    """

    user_id: str
    kind: Kind
    branches: frozenset[str] | None


@dataclass(frozen=True)
class Notification:
    """One user's notification, as stored."""

    id: str
    user_id: str
    kind: Kind
    event_id: str
    branch_id: str
    texts: Texts
    data: dict[str, str]
    state: State
    created_at: datetime
    changed_at: datetime
    sent_at: datetime | None


@dataclass(frozen=True)
class Delivery:
    """One device that a notification still has to reach."""

    notification_id: str
    token: str
    language: Language
    user_id: str
    kind: Kind
    event_id: str
    branch_id: str
    texts: Texts
    data: dict[str, str]
    attempts: int
    keys: BrowserKeys | None = None
    traceparent: str | None = None

    @property
    def push_data(self) -> dict[str, str]:
        """The data an app gets with the text, to open the right page."""
        return {
            "kind": self.kind,
            "event_id": self.event_id,
            "branch_id": self.branch_id,
            "notification_id": self.notification_id,
            **self.data,
        }
