"""``/devices``: what the caller has, trying one out, and letting go of one."""

from typing import Annotated

from fastapi import APIRouter, Path

from laundry_service.auth.principal import Principal
from laundry_service.http.problems import Problem
from notification.api.callers import User, role_of
from notification.model import RegisteredDevice
from notification.push import PushStatus
from notification.schemas import OwnDevice, OwnDevices
from notification.service.device_registry import DeviceRegistry
from notification.service.device_trial import DeviceTrial

DeviceId = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="As the list has it")]
RETRY_AFTER_S = 10


def own_devices_router(registry: DeviceRegistry, trial: DeviceTrial) -> APIRouter:
    """Make the endpoints for the caller's own devices."""
    router = APIRouter(prefix="/devices", tags=["devices"])

    async def _own(user: Principal, device_id: str) -> RegisteredDevice:
        found = await registry.find(user.sub, role_of(user), device_id)
        if found is None:
            raise Problem(
                404, "device-not-found", "You have no such device. Perhaps it was removed meanwhile."
            )
        return found

    @router.get("")
    async def list_devices(user: User) -> OwnDevices:
        """Read the caller's own devices in this role, the longest known first."""
        found = await registry.devices_of(user.sub, role_of(user))
        return OwnDevices(items=[OwnDevice.of(each) for each in found], limit=registry.max_devices)

    @router.delete("/{device_id}", status_code=204)
    async def forget(user: User, device_id: DeviceId) -> None:
        """Forget one of the caller's devices; also if it is gone already."""
        found = await registry.find(user.sub, role_of(user), device_id)
        if found is not None:
            await registry.unregister(found.device.token, user.sub)

    @router.post("/{device_id}/test", status_code=204)
    async def test(user: User, device_id: DeviceId) -> None:
        """Push a test alert to one of the caller's devices now."""
        found = await _own(user, device_id)
        result = await trial.push(found.device)
        match result.status:
            case PushStatus.GONE:
                raise Problem(
                    410, "device-gone", "Its push service no longer knows this device, so it was removed."
                )
            case PushStatus.REFUSED:
                raise Problem(
                    409,
                    "push-refused",
                    "Its push service refuses pushes to this device. Turn its alerts off and on again.",
                )
            case PushStatus.LATER:
                wait = RETRY_AFTER_S if result.retry_after_s is None else round(result.retry_after_s)
                raise Problem(
                    503,
                    "push-later",
                    "Its push service takes nothing at the moment. Try again later.",
                    headers={"Retry-After": str(max(1, wait))},
                )

    return router
