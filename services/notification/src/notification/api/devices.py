"""``/devices``: where pushes go."""

import contextlib
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query, Response

from laundry_service.auth.principal import Principal
from laundry_service.http.problems import Problem
from notification.api.callers import AcceptLanguage, User, role_of
from notification.api.keyed_locks import KeyedLocks
from notification.model import Device
from notification.push import FCM, service_of
from notification.schemas import DeviceIn, DeviceOut, DeviceToken, Token
from notification.service.device_registry import DeviceRegistry
from notification.texts import language_of


def devices_router(registry: DeviceRegistry, locks: KeyedLocks) -> APIRouter:
    """Make the endpoints that register and forget phones by their tokens."""
    router = APIRouter(prefix="/devices", tags=["devices"])

    @contextlib.asynccontextmanager
    async def _alone(token: str, user: Principal) -> AsyncIterator[None]:
        async with locks.hold(f"token {token}"), locks.hold(f"user {user.sub}"):
            yield

    @router.post("", status_code=201, responses={200: {"model": DeviceOut, "description": "Known already"}})
    async def register(
        asked: DeviceIn, user: User, response: Response, accept_language: AcceptLanguage = None
    ) -> DeviceOut:
        """Register the caller's device. Repeating it renews the branches and the language."""
        if service_of(asked.token) != FCM:
            raise Problem(
                422,
                "token-is-an-address",
                "FCM's tokens are no addresses. Browsers register at /devices/web-push/subscriptions.",
            )
        device = Device(
            token=asked.token,
            user_id=user.sub,
            role=role_of(user),
            platform=asked.platform,
            language=language_of(accept_language),
            branches=tuple(sorted(user.branches)) if user.role == "owner" else (),
            name=asked.name,
        )
        async with _alone(asked.token, user):
            is_new = await registry.register(device)
        response.status_code = 201 if is_new else 200
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
        """Unregister the caller's device, named in the body or the query. Somebody else's is left alone."""
        named = asked.token if asked is not None else token
        if named is None:
            raise Problem(422, "token-needed", 'Name the device: {"token": "..."} or ?token=...')
        async with _alone(named, user):
            await registry.unregister(named, user.sub)

    return router
