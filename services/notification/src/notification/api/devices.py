"""HTTP: devices and the history."""

import contextlib
from collections.abc import AsyncIterator
from typing import Annotated, cast
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from laundry_service.auth import Principal, require
from laundry_service.database import Database
from laundry_service.problems import Problem
from laundry_service.streams import CONNECTED, EVENT_STREAM, Changes, EventStream, Subscription
from notification.api.keyed_locks import OneAtATime
from notification.api.stream import offer_newest, topics_of
from notification.model import KIND_FOR, Device, Kind, Recipient
from notification.repository import devices, history
from notification.schemas import DeviceIn, DeviceOut, DeviceToken, NotificationOut, NotificationPage, Token
from notification.texts import language_of

User = Annotated[Principal, Depends(require("owner", "customer"))]
AcceptLanguage = Annotated[str | None, Header(description="ko (default) or en")]


def _role(user: Principal) -> Recipient:
    return cast("Recipient", user.role)


def _branches(user: Principal) -> frozenset[str] | None:
    """Return the branches to which an owner's view is held; a customer's is not."""
    return user.branches if user.role == "owner" else None


def devices_router(database: Database, *, at_most: int) -> APIRouter:
    """Make ``/devices``."""
    router = APIRouter(prefix="/devices", tags=["devices"])
    changing = OneAtATime()

    @contextlib.asynccontextmanager
    async def _turn(token: str, user: Principal) -> AsyncIterator[None]:
        async with changing.of(f"token {token}"), changing.of(f"user {user.sub}"):
            yield

    @router.post("", status_code=201, responses={200: {"model": DeviceOut, "description": "Known already"}})
    async def register(
        asked: DeviceIn, user: User, response: Response, accept_language: AcceptLanguage = None
    ) -> DeviceOut:
        """Register the caller's device. Again is fine: it renews the branches and the language."""
        device = Device(
            token=asked.token,
            user_id=user.sub,
            role=_role(user),
            platform=asked.platform,
            language=language_of(accept_language),
            branches=tuple(sorted(user.branches)) if user.role == "owner" else (),
        )
        async with _turn(asked.token, user), database.transaction() as session:
            new = await devices.register_device(session, device, at_most=at_most)
            if user.role == "owner":
                await devices.see_owner(session, user.sub, user.branches)
        response.status_code = 201 if new else 200
        return DeviceOut(
            token=device.token,
            platform=device.platform,
            language=device.language,
            branches=list(device.branches),
        )

    @router.delete("", status_code=204)
    async def unregister(
        user: User, asked: DeviceToken | None = None, token: Annotated[Token | None, Query()] = None
    ) -> None:
        """Forget the caller's device, named in the body or the query. One that is not his is left alone."""
        named = asked.token if asked is not None else token
        if named is None:
            raise Problem(422, "token-needed", 'Name the device: {"token": "..."} or ?token=...')
        async with _turn(named, user), database.transaction() as session:
            await devices.delete_device(session, token=named, user_id=user.sub)

    return router


def history_router(database: Database, changes: Changes) -> APIRouter:
    """Make ``/notifications``."""
    router = APIRouter(prefix="/notifications", tags=["notifications"])

    async def remember(user: Principal) -> None:
        if user.role == "owner":
            async with database.transaction() as session:
                await devices.see_owner(session, user.sub, user.branches)

    @router.get("")
    async def list_notifications(
        user: User,
        kind: Kind | None = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        cursor: Annotated[UUID | None, Query(description="next_cursor of the page before")] = None,
        accept_language: AcceptLanguage = None,
    ) -> NotificationPage:
        """Read the caller's own notifications, newest first."""
        await remember(user)
        own = KIND_FOR[_role(user)]
        if kind is not None and kind != own:
            return NotificationPage(items=[], next_cursor=None)
        async with database.session() as session:
            found = await history.history(
                session,
                user_id=user.sub,
                kind=own,
                branches=_branches(user),
                before=None if cursor is None else str(cursor),
                limit=limit + 1,
            )
        language = language_of(accept_language)
        return NotificationPage(
            items=[NotificationOut.of(item, language) for item in found[:limit]],
            next_cursor=found[limit - 1].id if len(found) > limit else None,
        )

    @router.get("/stream", response_class=EventStream, responses=EVENT_STREAM)
    async def stream(request: Request, user: User, accept_language: AcceptLanguage = None) -> EventStream:
        """Follow the caller's own notifications: `notification` for each new one and each new state."""
        await remember(user)

        async def opening(subscription: Subscription) -> None:
            await offer_newest(database, user, subscription)

        return EventStream(
            request.app.state.streams,
            changes,
            user,
            topics=topics_of(user),
            variant=language_of(accept_language),
            greeting=CONNECTED,
            opening=opening,
        )

    return router
