"""Writes what detection came to: rows of faults and machines, events of alerts, notices to event streams."""

from collections.abc import Mapping
from datetime import datetime

import structlog
from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncSession

from laundry_events import Outbox
from laundry_events.events import EquipmentFault
from monitoring.machine import Alert, Contact, MachineKey, OpenFault, Outcome
from monitoring.repository import machines, notices
from monitoring.repository.faults import FaultChanges
from monitoring.repository.machines import EvaluatedMachine, LockedMachine
from monitoring.settings import Settings
from monitoring.telemetry import Sample

OPENED = Counter("laundry_faults_opened", "Faults that began", ["cause", "kind"])
ALERTED = Counter("laundry_faults_rung", "Faults that people were told of", ["cause"])
CLEARED = Counter("laundry_faults_cleared", "Faults that are over", ["cause"])

log = structlog.get_logger(__name__)


class OutcomeWriter:
    """Collects what one transaction comes to, of all machines that it holds, and writes it at once."""

    def __init__(self, session: AsyncSession, outbox: Outbox, settings: Settings, *, now: datetime) -> None:
        """Collect results for ``session`` at time ``now``; what people are told is passed on later."""
        self._session = session
        self._outbox = outbox
        self._now = now
        self._known_kind = settings.known_kind
        self._faults = FaultChanges(now, settings.escalation.first_after)
        self._machines: list[EvaluatedMachine] = []
        self._changed: list[MachineKey] = []

    async def add(
        self,
        machine: LockedMachine,
        before: Mapping[str, OpenFault],
        outcome: Outcome,
        *,
        kind: str,
        contact: Contact | None = None,
        newest: Sample | None = None,
    ) -> None:
        """Add what became of a machine with these open faults, and the events of its alerts.

        Args:
            contact: how its samples arrived; ``None`` if it sent nothing.
        """
        after = machine.state.open_faults()
        self._machines.append(EvaluatedMachine(machine, contact, newest))
        self._faults.add(machine.key, before, after, outcome)
        for alert in outcome.alerts:
            await self._publish(machine, alert, kind)
        for fault_id in after.keys() - before.keys():
            OPENED.labels(after[fault_id].fault.details.key.cause, self._known_kind(kind)).inc()
        for ended in outcome.ended.values():
            cause = ended.fault.details.key.cause
            CLEARED.labels(cause).inc()
            log.info("equipment fault cleared", fault_id=ended.fault.id, cause=cause, by=ended.reason)
        if machine.is_new or outcome.ended or before.keys() != after.keys():
            self._changed.append(machine.key)

    async def write(self) -> None:
        """Write what was gathered, in the caller's transaction."""
        await self._faults.write(self._session)
        await machines.store_machines(self._session, self._machines)
        await notices.notify_changed(self._session, self._changed)

    async def _publish(self, machine: LockedMachine, alert: Alert, kind: str) -> None:
        fault, details = alert.fault, alert.fault.details
        await self._outbox.add(
            self._session,
            EquipmentFault(
                fault_id=fault.id,
                equipment_id=machine.key.equipment_id,
                branch_id=machine.key.branch_id,
                kind=kind,
                cause=details.key.cause,
                fault_code=details.fault_code,
                metric=details.metric,
                value=details.value,
                limit=details.limit,
                # A fault that was held is news now; received_at says when its report came.
                detected_at=self._now,
                recorded_at=fault.recorded_at,
                received_at=fault.detected_at,
                clock_off=fault.clock_off,
                count=alert.count,
            ),
        )
        ALERTED.labels(details.key.cause).inc()
        log.warning(
            "equipment fault",
            fault_id=fault.id,
            equipment_id=machine.key.equipment_id,
            branch_id=machine.key.branch_id,
            cause=details.key.cause,
            key=details.key.key,
            count=alert.count,
        )
