"""``/notifications``: what the caller was told."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request

from laundry_service.http.cursors import page_of
from laundry_service.storage.database import Database
from laundry_service.streams.changes import Changes
from laundry_service.streams.response import CONNECTED, EVENT_STREAM, EventStream
from laundry_service.streams.subscription import Subscription
from notification.api.callers import AcceptLanguage, User, reader_of
from notification.model import Kind
from notification.repository import history
from notification.schemas import NotificationOut, NotificationPage
from notification.service.device_registry import DeviceRegistry
from notification.stream import offer_newest, topics_of
from notification.texts import language_of


def notifications_router(database: Database, registry: DeviceRegistry, changes: Changes) -> APIRouter:
    """Make the endpoints that list and follow notifications."""
    router = APIRouter(prefix="/notifications", tags=["notifications"])

    @router.get("")
    async def list_notifications(
        user: User,
        kind: Kind | None = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        cursor: Annotated[UUID | None, Query(description="next_cursor of the page before")] = None,
        accept_language: AcceptLanguage = None,
    ) -> NotificationPage:
        """Read the caller's own notifications, newest first."""
        reader = reader_of(user)
        await registry.record_seen(reader)
        if kind is not None and kind != reader.kind:
            return NotificationPage(items=[], next_cursor=None)
        before = None if cursor is None else str(cursor)
        async with database.session() as session:
            found = await history.list_notifications(session, reader, before=before, limit=limit + 1)
        language = language_of(accept_language)
        shown, last = page_of(found, limit)
        return NotificationPage(
            items=[NotificationOut.of(item, language) for item in shown],
            next_cursor=None if last is None else last.id,
        )

    @router.get("/stream", response_class=EventStream, responses=EVENT_STREAM)
    async def stream(request: Request, user: User, accept_language: AcceptLanguage = None) -> EventStream:
        """Follow the caller's own notifications: `notification` for each new one and each new state."""
        reader = reader_of(user)
        await registry.record_seen(reader)

        async def opening(subscription: Subscription) -> None:
            await offer_newest(database, reader, subscription)

        return EventStream(
            request.app.state.streams,
            changes,
            user,
            topics=topics_of(reader),
            variant=language_of(accept_language),
            greeting=CONNECTED,
            opening=opening,
        )

    return router
