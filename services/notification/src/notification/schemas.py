"""Bodies of requests and answers."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from laundry_service.http.validation import RequestBody
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
