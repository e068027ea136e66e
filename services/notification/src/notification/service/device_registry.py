"""Registers the devices that pushes go to, and remembers the owners who were seen."""

from laundry_service.storage.database import Database
from notification.model import Device, Reader
from notification.repository import devices


class DeviceRegistry:
    """Devices and owners, each change in one transaction."""

    def __init__(self, database: Database, *, max_devices: int) -> None:
        """Keep at most ``max_devices`` of a user."""
        self._database = database
        self._max_devices = max_devices

    async def register(self, device: Device) -> bool:
        """Store a device; true if its token is new to this user."""
        async with self._database.transaction() as session:
            is_new = await devices.register_device(session, device, at_most=self._max_devices)
            if device.role == "owner":
                await devices.record_owner_seen(session, device.user_id, device.branches)
        return is_new

    async def unregister(self, token: str, user_id: str) -> None:
        """Forget a device if it is this user's."""
        async with self._database.transaction() as session:
            await devices.delete_device(session, token=token, user_id=user_id)

    async def record_seen(self, reader: Reader) -> None:
        """Remember an owner with the branches of the token: without a device faults reach the history."""
        if reader.branches:
            async with self._database.transaction() as session:
                await devices.record_owner_seen(session, reader.user_id, reader.branches)
