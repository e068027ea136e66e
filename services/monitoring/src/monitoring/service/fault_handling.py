"""People acknowledge faults; what nobody acknowledges is passed on."""

from datetime import datetime

import structlog
from prometheus_client import Counter, Histogram

from laundry_events import Outbox
from laundry_events.events import EquipmentFault, FaultAcknowledged
from laundry_service.audit.acts import Act, Actor
from laundry_service.audit.writing import write as write_act
from laundry_service.storage.database import Database
from monitoring.fault_handling import EscalationPolicy
from monitoring.repository import handling, notices
from monitoring.repository.handling import HandledFault

BATCH = 100
ITSELF = Actor("monitoring", "service")
MINUTES = (15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400)

ANSWERED = Histogram(
    "laundry_fault_acknowledged_seconds",
    "From telling people of a fault until one acknowledged it",
    buckets=MINUTES,
)
ESCALATED = Counter(
    "laundry_faults_escalated", "Faults passed on because nobody acknowledged them", ["escalation"]
)
LATE = Histogram(
    "laundry_fault_escalation_late_seconds",
    "How long after its time a fault was passed on",
    buckets=(0.5, 1, 2, 5, 15, 60, 300, 3600),
)

log = structlog.get_logger(__name__)


class FaultUnknown(Exception):
    """There is no such fault."""


class FaultClosed(Exception):
    """The equipment has recovered: there is nothing left to take care of."""


class FaultHandling:
    """Safe in any number of replicas: acknowledging and passing on contend for the fault's row."""

    def __init__(self, database: Database, outbox: Outbox, policy: EscalationPolicy) -> None:
        """Pass faults on by this policy."""
        self._database = database
        self._outbox = outbox
        self._policy = policy

    async def acknowledge(self, fault_id: str, *, by: Actor) -> HandledFault:
        """Record who takes care of a fault; who was first stays. It is audited.

        Raises:
            FaultUnknown: it does not exist.
            FaultClosed: it is over.
        """
        async with self._database.transaction() as session:
            found = await handling.find(session, fault_id)
            if found is None:
                raise FaultUnknown(fault_id)
            await handling.lock_machine(session, found.machine)
            found = await handling.find(session, fault_id)
            if found is None:
                raise FaultUnknown(fault_id)
            if found.fault.cleared_at is not None:
                raise FaultClosed(fault_id)
            if found.fault.acknowledged_at is not None:
                return found
            changed = await handling.acknowledge(session, found.fault, by=by.by)
            for each in changed:
                at = each.acknowledged_at or each.detected_at
                event = FaultAcknowledged(
                    fault_id=each.id,
                    equipment_id=each.equipment_id,
                    branch_id=each.branch_id,
                    acknowledged_by=by.by,
                    acknowledged_at=at,
                )
                await self._outbox.add(session, event)
                ANSWERED.observe((at - (each.rung_at or each.detected_at)).total_seconds())
            await notices.notify_changed(session, [found.machine])
            others = sorted(each.id for each in changed if each.id != fault_id)
            details = {"equipment": found.fault.equipment_id, "branch": found.fault.branch_id, "with": others}
            await write_act(session, Act("fault.acknowledge", fault_id, by, details=details))
            return HandledFault(next(each for each in changed if each.id == fault_id), found.kind)

    async def escalate_due(self) -> int:
        """Pass on the faults whose time has come; returns how many."""
        if self._policy.first_after is None:
            return 0
        total = 0
        while True:
            done = await self._escalate_some()
            total += done
            if done < BATCH:
                return total

    async def _escalate_some(self) -> int:
        async with self._database.transaction() as session:
            due = await handling.claim_unanswered(session, self._policy, limit=BATCH)
            if not due:
                return 0
            now = await handling.pass_on(session, [each.fault.id for each in due], self._policy)
            for each in due:
                fault, level = each.fault, each.fault.escalation + 1
                await self._outbox.add(session, _passed_on(each, level, now))
                ESCALATED.labels(level).inc()
                LATE.observe(max(0.0, (now - (fault.escalate_at or now)).total_seconds()))
                log.warning(
                    "nobody acknowledged a fault", fault_id=fault.id, branch=fault.branch_id, level=level
                )
            await notices.notify_changed(session, [each.machine for each in due])
            for each in due:
                details = {"equipment": each.fault.equipment_id, "branch": each.fault.branch_id}
                details["escalation"] = str(each.fault.escalation + 1)
                act = Act("fault.escalate", each.fault.id, ITSELF, via="clock", details=details)
                await write_act(session, act)
            return len(due)


def _passed_on(found: HandledFault, level: int, now: datetime) -> EquipmentFault:
    fault = found.fault
    return EquipmentFault(
        fault_id=fault.id,
        equipment_id=fault.equipment_id,
        branch_id=fault.branch_id,
        kind=found.kind or "other",
        cause=fault.cause,
        fault_code=fault.fault_code,
        metric=fault.metric,
        value=fault.value,
        limit=fault.limit_value,
        detected_at=fault.rung_at or fault.detected_at,
        recorded_at=fault.recorded_at,
        received_at=fault.detected_at,
        clock_off=fault.clock_off,
        count=max(1, fault.count),
        escalation=level,
        escalated_at=now,
    )
