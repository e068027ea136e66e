"""Writes what judging came to: rows of faults and machines, events of what rings, a word to who watches."""

from datetime import datetime

import structlog
from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncSession

from laundry_events import Outbox
from laundry_events.events import EquipmentFault
from monitoring.fault_detection import Machine, Outcome, Ring
from monitoring.repository import equipment as repository
from monitoring.repository.equipment import Heard, Judged, Known
from monitoring.repository.faults import Changes, MachineKey, Standings
from monitoring.telemetry import Sample

OPENED = Counter("laundry_faults_opened", "Faults that began", ["cause", "kind"])
RUNG = Counter("laundry_faults_rung", "Faults that people were told of", ["cause"])
CLEARED = Counter("laundry_faults_cleared", "Faults that are over", ["cause"])

log = structlog.get_logger(__name__)


class Settlement:
    """What one transaction comes to, of all machines that it holds."""

    def __init__(self, session: AsyncSession, outbox: Outbox, *, now: datetime) -> None:
        """Take the transaction and its moment."""
        self._session = session
        self._outbox = outbox
        self._changes = Changes(now)
        self._judged: list[Judged] = []
        self._watched: list[MachineKey] = []

    async def note(
        self, known: Known, before: Standings, outcome: Outcome, *, kind: str, newest: Sample | None = None
    ) -> None:
        """Note what became of a machine whose faults stood like ``before``, and tell of those that ring."""
        key, after = (known.branch_id, known.id), standings(known.machine)
        self._judged.append(Judged(known, newest))
        self._changes.note(key, before, after, outcome)
        for ring in outcome.rung:
            await self._tell(known, ring, kind)
        for fault_id in after.keys() - before.keys():
            OPENED.labels(after[fault_id][0].found.key.cause, kind).inc()
        for found, by in outcome.ended.values():
            CLEARED.labels(found.found.key.cause).inc()
            log.info("equipment fault cleared", fault_id=found.id, cause=found.found.key.cause, by=by)
        if known.is_new or outcome.ended or before.keys() != after.keys():
            self._watched.append(key)

    async def write(self, heard: Heard | None) -> None:
        """Write everything; ``heard`` none: the machines said nothing."""
        await self._changes.write(self._session)
        await repository.store_machines(self._session, self._judged, heard)
        await repository.tell_change(self._session, self._watched)

    async def _tell(self, known: Known, ring: Ring, kind: str) -> None:
        fault, found = ring.fault, ring.fault.found
        await self._outbox.add(
            self._session,
            EquipmentFault(
                fault_id=fault.id,
                equipment_id=known.id,
                branch_id=known.branch_id,
                kind=kind,
                cause=found.key.cause,
                fault_code=found.fault_code,
                metric=found.metric,
                value=found.value,
                limit=found.limit,
                # One that was held is news now; when its report came stands in received_at.
                detected_at=self._changes.now,
                recorded_at=fault.recorded_at,
                received_at=fault.detected_at,
                clock_off=fault.clock_off,
                count=ring.count,
            ),
        )
        RUNG.labels(found.key.cause).inc()
        log.warning(
            "equipment fault",
            fault_id=fault.id,
            equipment_id=known.id,
            branch_id=known.branch_id,
            cause=found.key.cause,
            key=found.key.key,
            count=ring.count,
        )


def standings(machine: Machine) -> Standings:
    """Return the open faults of a machine by their ids, each with whether it may be over already."""
    return {fault.id: (fault, key in machine.state.unsure) for key, fault in machine.faults.items()}
