"""Bodies of requests and answers."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Annotated, Self
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from laundry_service.http.validation import RequestBody
from notification.consent import Consent, ConsentRecord, ConsentText, Via
from notification.customer_rules import TellingPolicy
from notification.model import Kind, Notification, Platform, State
from notification.texts import Language

Token = Annotated[
    str,
    Field(
        min_length=1,
        max_length=4096,
        pattern=r"^[\x21-\x7e]+$",
        description="The registration token that the phone got from FCM",
    ),
]


class DeviceIn(RequestBody):
    """A device to register."""

    model_config = ConfigDict(extra="forbid")

    token: Token
    platform: Platform


class DeviceToken(RequestBody):
    """A device to forget."""

    model_config = ConfigDict(extra="forbid")

    token: Token


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
        """Show records."""
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
