"""Bodies of requests and answers."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Annotated, Literal, Self
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from laundry_service.http.validation import RequestBody
from notification.consent import Consent, ConsentRecord, ConsentText, Via
from notification.customer_rules import TellingPolicy
from notification.model import Kind, Notification, Platform, RegisteredDevice, State, device_id
from notification.texts import Language

Token = Annotated[
    str,
    Field(
        min_length=1,
        # They are some 200 characters; a database's index takes no row beyond 2,700 bytes.
        max_length=2048,
        pattern=r"^[\x21-\x7e]+$",
        description="The registration token that the phone got from FCM",
    ),
]
# The push services' own are 150 to 600 characters.
Address = Annotated[str, Field(min_length=1, max_length=1500, pattern=r"^[\x21-\x7e]+$")]
DeviceName = Annotated[
    str, Field(max_length=60, pattern=r"^[^\x00-\x1f\x7f]*$", description="For its user's list of devices")
]


class DeviceIn(RequestBody):
    """A device to register."""

    model_config = ConfigDict(extra="forbid")

    token: Token
    platform: Platform
    name: DeviceName = ""


class DeviceToken(RequestBody):
    """A device to forget."""

    model_config = ConfigDict(extra="forbid")

    token: Token


class SubscriptionKeys(RequestBody):
    """The keys of a browser's subscription."""

    model_config = ConfigDict(extra="forbid")

    p256dh: str = Field(max_length=100, description="Its public key: a point on P-256, base64url")
    auth: str = Field(max_length=32, description="Its secret of 16 bytes, base64url")


class BrowserIn(RequestBody):
    """A browser to register: what `PushSubscription.toJSON()` gives, and more."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    endpoint: Address = Field(description="Where its push service takes pushes for it")
    keys: SubscriptionKeys
    expiration_time: float | None = Field(
        default=None, alias="expirationTime", description="Ignored: an endpoint that is over answers 410"
    )
    name: DeviceName = ""
    replaces: Address | None = Field(default=None, description="The endpoint that it had until now")


class WebPushOut(BaseModel):
    """What a browser needs to subscribe."""

    public_key: str = Field(description="The `applicationServerKey`, base64url")


class OwnDevice(BaseModel):
    """One of the caller's devices, without what would let anybody push to it."""

    id: str = Field(description="The first 32 hexadecimal digits of the SHA-256 of its token or endpoint")
    name: str = Field(description="Empty for a phone that gave none")
    platform: Platform
    kind: Literal["fcm", "web_push"] = Field(description="Which way its pushes take")
    language: Language
    branches: list[str]
    created_at: datetime
    registered_at: datetime = Field(description="When it last renewed its registration")
    reached_at: datetime | None = Field(description="When its push service last took a push for it")

    @classmethod
    def of(cls, registered: RegisteredDevice) -> Self:
        """Show a device to its user."""
        device = registered.device
        return cls(
            id=device_id(device.token),
            name=device.name,
            platform=device.platform,
            kind="fcm" if device.keys is None else "web_push",
            language=device.language,
            branches=list(device.branches),
            created_at=registered.created_at,
            registered_at=registered.registered_at,
            reached_at=registered.reached_at,
        )


class OwnDevices(BaseModel):
    """All devices of the caller, the longest known first."""

    items: list[OwnDevice]
    limit: int = Field(description="How many one may have")


class DeviceOut(BaseModel):
    """A registered device, with the language and the branches of its pushes."""

    token: str
    platform: Platform
    language: Language = Field(description="In which its pushes are written")
    branches: list[str] = Field(description="The branches whose faults it is told; empty for a customer")


class NotificationOut(BaseModel):
    """One entry of the caller's history."""

    id: str
    kind: Kind
    title: str
    body: str
    branch_id: str
    event_id: str
    created_at: datetime
    sent_at: datetime | None
    state: State
    data: dict[str, str]

    @classmethod
    def of(cls, notification: Notification, language: Language) -> Self:
        """Show a notification in one language."""
        text = notification.texts[language]
        return cls(
            id=notification.id,
            kind=notification.kind,
            title=text["title"],
            body=text["body"],
            branch_id=notification.branch_id,
            event_id=notification.event_id,
            created_at=notification.created_at,
            sent_at=notification.sent_at,
            state=notification.state,
            data=notification.data,
        )


class NotificationPage(BaseModel):
    """A page of the history, newest first."""

    items: list[NotificationOut]
    next_cursor: str | None = Field(description="Ask with it for the next page; null at the end")


# Looks through the file system.
_zones = cache(available_timezones)


def _known_zone(name: str) -> str:
    if name not in _zones():
        raise ValueError("no time zone has this name; Intl.DateTimeFormat().resolvedOptions().timeZone does")
    return name


TimeZone = Annotated[
    str, Field(max_length=64, examples=["Asia/Seoul"], description="IANA name"), AfterValidator(_known_zone)
]


class ConsentIn(RequestBody):
    """What the customer says now."""

    model_config = ConfigDict(extra="forbid")

    given: Annotated[bool, Field(strict=True)]
    text_version: Annotated[
        str | None, Field(max_length=64, description="Of the text that was shown; needed to agree")
    ] = None
    time_zone: Annotated[
        TimeZone | None, Field(description="The customer's own, for the night; kept until another is sent")
    ] = None


class StopKey(RequestBody):
    """The key of a push."""

    model_config = ConfigDict(extra="forbid")

    key: Annotated[str, Field(min_length=1, max_length=64)]


class WordsOut(BaseModel):
    """The words to ask with, in the caller's language."""

    version: str
    title: str
    body: str


class ConsentOut(BaseModel):
    """Whether the caller is told of branches, how much at most, and the words to ask with."""

    given: bool
    changed_at: datetime | None = Field(description="When the caller said so last; null: never asked")
    text_version: str | None = Field(description="To which words the caller agreed last")
    text: WordsOut
    per_week: int = Field(description="At most so many in any seven days")
    quiet_from: str = Field(description="Nothing between this time and quiet_until", examples=["21:00"])
    quiet_until: str = Field(examples=["08:00"])
    time_zone: str = Field(description="On whose clock")

    @classmethod
    def of(
        cls,
        consent: Consent | None,
        text: ConsentText,
        policy: TellingPolicy,
        time_zone: str,
        language: Language,
    ) -> Self:
        """Show a consent, or that there is none."""
        words = text.in_language(language)
        given = consent is not None and consent.given
        return cls(
            given=given,
            changed_at=consent.changed_at if consent else None,
            text_version=consent.text_version if consent else None,
            text=WordsOut(version=text.version, **words),
            per_week=min(policy.per_week, consent.per_week) if consent and given else policy.per_week,
            quiet_from=f"{policy.night_from:%H:%M}",
            quiet_until=f"{policy.night_until:%H:%M}",
            time_zone=(consent and consent.time_zone) or time_zone,
        )


class ConsentRecordOut(BaseModel):
    """One thing that was said."""

    given: bool
    at: datetime
    via: Via = Field(description="page, or link: the stop_key of a push")
    text_version: str | None
    language: Language | None
    title: str | None = Field(description="The words as they were shown; null where it was ended")
    body: str | None


class ConsentRecords(BaseModel):
    """All that was said, newest first."""

    items: list[ConsentRecordOut]

    @classmethod
    def of(cls, records: Sequence[ConsentRecord]) -> Self:
        """Make the body of a customer's consent records."""
        return cls(
            items=[
                ConsentRecordOut(
                    given=each.given,
                    at=each.at,
                    via=each.via,
                    text_version=each.text_version,
                    language=each.language,
                    title=each.text["title"] if each.text else None,
                    body=each.text["body"] if each.text else None,
                )
                for each in records
            ]
        )
