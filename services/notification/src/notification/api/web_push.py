"""``/devices/web-push``: browsers that take pushes with the page closed."""

from fastapi import APIRouter, Response

from laundry_service.http.problems import Problem
from notification.api.callers import AcceptLanguage, User, role_of
from notification.api.keyed_locks import KeyedLocks
from notification.model import BrowserKeys, Device, device_id
from notification.schemas import BrowserIn, OwnDevice, WebPushOut
from notification.service.device_registry import DeviceRegistry, TooManyDevices
from notification.texts import language_of
from notification.web_push.encryption import BadSubscription, check_keys
from notification.web_push.endpoints import NotAllowed, PushServices


def web_push_router(
    registry: DeviceRegistry, locks: KeyedLocks, services: PushServices, public_key: str | None
) -> APIRouter:
    """Make the endpoints that browsers subscribe with; without a key there is no Web Push."""
    router = APIRouter(prefix="/devices/web-push", tags=["devices"])

    def _key() -> str:
        if public_key is None:
            raise Problem(404, "web-push-off", "Web Push is not set up here. The app for phones gets pushes.")
        return public_key

    @router.get("/key")
    async def show(user: User) -> WebPushOut:
        """Read the key that a browser subscribes with."""
        return WebPushOut(public_key=_key())

    @router.post(
        "/subscriptions",
        status_code=201,
        responses={200: {"model": OwnDevice, "description": "Known already"}},
    )
    async def register(
        asked: BrowserIn, user: User, response: Response, accept_language: AcceptLanguage = None
    ) -> OwnDevice:
        """Register the caller's browser. Repeating it renews the branches and the language."""
        _key()
        keys = BrowserKeys(asked.keys.p256dh.rstrip("="), asked.keys.auth.rstrip("="))
        try:
            services.endpoint(asked.endpoint)
            check_keys(keys)
        except NotAllowed as error:
            raise Problem(422, "endpoint-not-allowed", f"The endpoint is refused: {error}.") from error
        except BadSubscription as error:
            raise Problem(422, "subscription-invalid", f"The subscription is none: {error}.") from error
        device = Device(
            token=asked.endpoint,
            user_id=user.sub,
            role=role_of(user),
            platform="web",
            language=language_of(accept_language),
            branches=tuple(sorted(user.branches)) if user.role == "owner" else (),
            name=asked.name.strip(),
            keys=keys,
        )
        try:
            async with locks.hold(f"token {asked.endpoint}"), locks.hold(f"user {user.sub}"):
                is_new = await registry.register_browser(device, replaces=asked.replaces)
        except TooManyDevices as error:
            raise Problem(
                409,
                "too-many-devices",
                f"You have {error.limit} devices, and nobody may have more. Remove one of them first.",
                limit=error.limit,
            ) from error
        response.status_code = 201 if is_new else 200
        found = await registry.find(user.sub, device.role, device_id(device.token))
        if found is None:
            raise Problem(409, "device-removed", "The device was removed while it registered. Do it again.")
        return OwnDevice.of(found)

    return router
