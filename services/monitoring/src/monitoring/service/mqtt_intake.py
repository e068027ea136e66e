"""Accepts a message that a device published by MQTT: checks its rate and its login, stores its samples."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from prometheus_client import Counter

from laundry_events import PermanentError
from laundry_events.group_commit import GroupCommit
from laundry_service.storage.outages import is_outage
from monitoring.device_limits import DeviceKey, DeviceLimits
from monitoring.device_login import DeviceLogin, branches_allowed, logins_of_client
from monitoring.machine import Contact
from monitoring.service.device_logins import DeviceLogins
from monitoring.service.telemetry_intake import IntakeRequest, TelemetryIntake
from monitoring.telemetry import InvalidTelemetry, ParsedTelemetry, parse

MESSAGES_TOGETHER = 100
SAMPLES_TOGETHER = 20
"""A message of more samples is a transaction of its own: a hundred such would hold their rows for long."""

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


@dataclass
class _Pending:
    """A message whose samples wait to be stored with others'.

    Attributes:
        request: there once it is known for whom the device may speak.
    """

    message: DeviceMessage
    parsed: ParsedTelemetry
    request: IntakeRequest = field(init=False)

    def authorise(self, logins: Collection[DeviceLogin], is_allowed: Callable[[DeviceLogin], bool]) -> None:
        """Refuse the samples for which the device may not speak.

        Raises:
            PermanentError: its token had expired when the message came, or is denied.
        """
        own = logins_of_client(logins, self.message.client_id)
        branches = branches_allowed(own, is_allowed, arrived_at=self.message.arrived_at)
        self.parsed.refuse_unauthorised(self.message.equipment_id, branches)
        self.request = IntakeRequest(self.parsed, Contact("mqtt", branches))


class MqttIntake:
    """Accepts the good samples of a message; if any is refused, the whole message becomes a dead letter.

    What arrives together is stored together: a transaction for each message would be most of its cost.
    """

    def __init__(self, intake: TelemetryIntake, logins: DeviceLogins, limits: DeviceLimits) -> None:
        self._intake = intake
        self._logins = logins
        self._limits = limits
        self._commits = GroupCommit(self._commit, at_most=MESSAGES_TOGETHER)

    async def take(self, message: DeviceMessage) -> None:
        """Accept a message. A sample delivered twice is a duplicate like any other.

        Raises:
            PermanentError: samples of it were refused.
            EquipmentBusy: the machine's row is locked.
        """
        device = await self._logins.key_of(message.equipment_id, message.client_id)
        try:
            await self._take(message, device)
        except PermanentError as error:
            REFUSED.labels(error.reason).inc()
            if self._limits.may_dead_letter(device):
                raise
            # One device must not fill the dead letters: those that are kept show what it sends.
            DROPPED.labels("dead-letters").inc()

    async def _take(self, message: DeviceMessage, device: DeviceKey) -> None:
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
        codes = {each.sample.fault_code for each in parsed.samples if each.sample.fault_code is not None}
        try:
            await self._store(message, device, parsed)
        except BaseException:
            if above_rate:
                self._limits.codes_not_stored(device, codes)
            raise

    async def _store(self, message: DeviceMessage, device: DeviceKey, parsed: ParsedTelemetry) -> None:
        pending = _Pending(message, parsed)
        await self._commits.add(pending)
        result = await self._intake.take(pending.request)
        if result.problems and self._limits.may_log(device):
            code = result.problems[0].code
            log.info("samples were taken with a word", equipment_id=device.name, code=code)
        if any(issue.code == "busy" for issue in result.refused):
            raise EquipmentBusy(f"the row of {device.name} is held")
        if result.refused:
            raise PermanentError(result.refused[0].detail, reason=result.refused[0].code)

    async def _commit(self, group: Sequence[_Pending]) -> Sequence[BaseException | None]:
        """Store what can be stored at once; ``take`` does the rest of each and gets its errors."""
        logins = await self._logins.of_devices({each.message.equipment_id for each in group})
        outcomes: list[BaseException | None] = []
        for each in group:
            try:
                each.authorise(logins[each.message.equipment_id], self._logins.is_allowed)
            except PermanentError as error:
                outcomes.append(error)
            else:
                outcomes.append(None)
        allowed = [each for each, error in zip(group, outcomes, strict=True) if error is None]
        together = [each.request for each in allowed if len(each.parsed.samples) <= SAMPLES_TOGETHER]
        try:
            await self._intake.take_known(together)
        except Exception as error:
            if is_outage(error):
                raise
            log.warning("samples are stored apart", error=f"{type(error).__name__}: {error}"[:300])
        return outcomes
