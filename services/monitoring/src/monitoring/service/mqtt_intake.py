"""Accepts a message that a device published by MQTT: checks its rate and its login, stores its samples."""

from dataclasses import dataclass
from datetime import datetime

import structlog
from prometheus_client import Counter

from laundry_events import PermanentError
from monitoring.device_limits import DeviceLimits
from monitoring.device_login import branches_allowed
from monitoring.machine import Contact
from monitoring.service.device_logins import DeviceLogins
from monitoring.service.telemetry_intake import TelemetryIntake
from monitoring.telemetry import InvalidTelemetry, parse

REFUSED = Counter("laundry_telemetry_refused_messages", "MQTT messages that were not taken whole", ["reason"])
DROPPED = Counter(
    "laundry_telemetry_dropped_messages", "MQTT messages that were counted and dropped", ["reason"]
)
# Starts at 0, so that the first one is an increase.
for reason in ("dead-letters", "rate"):
    DROPPED.labels(reason)

log = structlog.get_logger(__name__)


class EquipmentBusy(Exception):
    """The machine's row is locked; the message is retried."""


@dataclass(frozen=True)
class DeviceMessage:
    """A message as a device published it.

    Attributes:
        client_id: which MQTT client sent it, if the broker says so.
        arrived_at: when the broker took it.
    """

    equipment_id: str
    client_id: str | None
    arrived_at: datetime
    body: bytes


class MqttIntake:
    """Accepts the good samples of a message; if any is refused, the whole message becomes a dead letter."""

    def __init__(self, intake: TelemetryIntake, logins: DeviceLogins, limits: DeviceLimits) -> None:
        self._intake = intake
        self._logins = logins
        self._limits = limits

    async def take(self, message: DeviceMessage) -> None:
        """Accept a message. A sample delivered twice is a duplicate like any other.

        Raises:
            PermanentError: samples of it were refused.
            EquipmentBusy: the machine's row is locked.
        """
        try:
            await self._take(message)
        except PermanentError as error:
            REFUSED.labels(error.reason).inc()
            if self._limits.may_dead_letter(message.equipment_id):
                raise
            # One device must not fill the dead letters: those that are kept show what it sends.
            DROPPED.labels("dead-letters").inc()

    async def _take(self, message: DeviceMessage) -> None:
        device = message.equipment_id
        try:
            parsed = parse(message.body, self._intake.known_metrics, now=self._intake.now())
        except InvalidTelemetry as error:
            self._limits.spend(device, 1)
            raise PermanentError(error.detail, reason=error.code) from error
        above_rate = self._limits.wait_s(device) > 0
        self._limits.spend(device, len(parsed.samples) + len(parsed.refused))
        if above_rate:
            parsed = self._limits.fault_codes_only(device, parsed)
            DROPPED.labels("rate").inc()
            if not parsed.samples:
                return
        logins = await self._logins.of_client(device, message.client_id)
        branches = branches_allowed(logins, self._logins.is_allowed, arrived_at=message.arrived_at)
        parsed.refuse_unauthorised(device, branches)
        result = await self._intake.take(parsed, Contact("mqtt", branches))
        if result.problems and self._limits.may_log(device):
            code = result.problems[0].code
            log.info("samples were taken with a word", equipment_id=device, code=code)
        if any(issue.code == "busy" for issue in result.refused):
            raise EquipmentBusy(f"the row of {device} is held")
        if result.refused:
            raise PermanentError(result.refused[0].detail, reason=result.refused[0].code)
