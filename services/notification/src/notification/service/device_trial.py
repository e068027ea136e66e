"""Pushes to a device because its user wants to see whether that works."""

from datetime import UTC, datetime

import structlog

from laundry_events import new_id
from laundry_service.storage.database import Database
from notification.model import Device
from notification.push import Push, Pusher, PushResult, PushStatus
from notification.repository import devices
from notification.texts import TRIAL_TEXTS

TAG = "laundry-trial"

log = structlog.get_logger(__name__)


class DeviceTrial:
    """One push, now and once: its outcome is the answer."""

    def __init__(self, database: Database, pusher: Pusher) -> None:
        """Send with ``pusher``, and note in the database what became of the device."""
        self._database = database
        self._pusher = pusher

    async def push(self, device: Device) -> PushResult:
        """Push a test alert; a device that its push service no longer knows is removed."""
        started = datetime.now(UTC)
        notification_id = new_id()
        result = await self._pusher.push(
            Push(
                notification_id=notification_id,
                token=device.token,
                text=TRIAL_TEXTS[device.language],
                data={"kind": "test", "notification_id": notification_id, "tag": TAG},
                tag=TAG,
                urgent=True,
                sound=True,
                keys=device.keys,
            )
        )
        async with self._database.transaction() as session:
            if result.status is PushStatus.SENT:
                await devices.record_tried(session, device.token)
            elif result.status is PushStatus.GONE:
                await devices.lock_device(session, device.token, device.user_id)
                await devices.forget_devices(session, [device.token], registered_before=started)
                log.info("a dead device was removed", error=result.error)
        return result
