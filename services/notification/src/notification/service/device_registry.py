"""Registers the devices that pushes go to, and remembers the owners who were seen."""

from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncSession

from laundry_service.storage.database import Database
from notification.model import Device, Reader, RegisteredDevice, Role, device_id
from notification.repository import devices


class TooManyDevices(Exception):
    """A user has as many devices as anybody may have; ``limit`` is how many that are."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} devices at most")
        self.limit = limit


class DeviceRegistry:
    """Devices and owners, each change in one transaction."""

    def __init__(self, database: Database, *, max_devices: int) -> None:
        """Keep at most ``max_devices`` of a user."""
        self._database = database
        self.max_devices = max_devices

    async def register(self, device: Device) -> bool:
        """Store a phone; true if its token is new to this user.

        Beyond the limit the least recently registered device goes.
        """
        async with self._database.transaction() as session:
            is_new = await devices.put_device(session, device)
            await devices.forget_surplus(session, device.user_id, device.role, at_most=self.max_devices)
            await self._record_owner(session, device)
        return is_new

    async def register_browser(self, device: Device, *, replaces: str | None = None) -> bool:
        """Store a browser; true if its endpoint is new to this user.

        A person sees and removes devices on the pages, so none is removed for a browser: somebody with a
        stolen sign-in could silence every phone that way.

        Args:
            replaces: the endpoint that the browser had until now.

        Raises:
            TooManyDevices: nothing was stored.
        """
        async with self._database.transaction() as session:
            is_new = await devices.put_device(session, device)
            own = await devices.list_devices(session, device.user_id, device.role)
            former = next((each.device for each in own if each.device.token == replaces), None)
            if former is not None and former.token != device.token:
                # Its user's lock, which this transaction holds, keeps it from moving.
                await devices.forget_devices(session, [former.token])
                own = own[:-1]
                if not device.name:
                    await devices.put_device(session, replace(device, name=former.name))
            if is_new and len(own) > self.max_devices:
                raise TooManyDevices(self.max_devices)
            await self._record_owner(session, device)
        return is_new

    async def unregister(self, token: str, user_id: str) -> None:
        """Forget a device if it is this user's."""
        async with self._database.transaction() as session:
            await devices.delete_device(session, token=token, user_id=user_id)

    async def devices_of(self, user_id: str, role: Role) -> list[RegisteredDevice]:
        """Read a user's devices, the longest known first."""
        async with self._database.session() as session:
            return await devices.list_devices(session, user_id, role)

    async def find(self, user_id: str, role: Role, wanted: str) -> RegisteredDevice | None:
        """Find a user's device by its id."""
        own = await self.devices_of(user_id, role)
        return next((each for each in own if device_id(each.device.token) == wanted), None)

    async def record_seen(self, reader: Reader) -> None:
        """Remember an owner with the branches of the token: without a device faults reach the history."""
        if reader.branches:
            async with self._database.transaction() as session:
                await devices.record_owner_seen(session, reader.user_id, reader.branches)

    @staticmethod
    async def _record_owner(session: AsyncSession, device: Device) -> None:
        if device.role == "owner":
            await devices.record_owner_seen(session, device.user_id, device.branches)
