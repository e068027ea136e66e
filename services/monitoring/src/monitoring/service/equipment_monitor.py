"""Watches equipment between samples: silence, alerts that waited, retirement, and what is too old to keep."""

from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from laundry_events import Outbox, new_id
from laundry_service.audit.acts import Act, Actor
from laundry_service.audit.writing import write as write_act
from laundry_service.storage.database import Database
from laundry_service.storage.slices import delete_in_slices
from monitoring.fault_detection import FaultDetector
from monitoring.machine import MachineKey, Outcome, Via
from monitoring.repository import faults, machines, retention, silence
from monitoring.service.clock import Clock, utc_now
from monitoring.service.outcome_writer import OutcomeWriter
from monitoring.settings import Settings
from monitoring.telemetry import is_equipment_id

BATCH = 200


class EquipmentMonitor:
    """Safe in any number of replicas: a machine's row is held while its faults are detected."""

    def __init__(self, settings: Settings, database: Database, *, now: Clock = utc_now) -> None:
        self._settings = settings
        self._database = database
        self._outbox = Outbox(settings.service_name)
        self._policy = settings.policy
        self._now = now

    async def alert_due(self) -> int:
        """Alert people of faults that had to wait and are still open; returns of how many machines."""
        total = 0
        while True:
            async with self._database.transaction() as session:
                keys = await faults.find_due(session, now=self._now(), limit=BATCH)
                done = await self._detect(session, keys, FaultDetector.alert_due) if keys else 0
            total += done
            if done < BATCH:
                return total

    async def look_for_silence(self, hears_mqtt: Callable[[], Awaitable[bool]]) -> int:
        """Make a fault of each piece of equipment that fell silent; returns how many.

        Silence counts only while we could hear: after an outage of this service (or an outage or alarm of the
        broker, for equipment that uses MQTT) every piece of equipment gets the full interval again. One that
        is heard from another branch with a token that names both has moved: it is forgotten here.

        Args:
            hears_mqtt: whether what equipment publishes by MQTT would arrive now.
        """
        settings = self._settings
        after = timedelta(seconds=settings.heartbeat_after_s)
        deaf_after = timedelta(seconds=max(3 * settings.heartbeat_check_s, settings.heartbeat_after_s / 4))
        via: list[Via] = ["http", "mqtt"] if await hears_mqtt() else ["http"]
        total = 0
        while True:
            async with self._database.transaction() as session:
                if not await silence.note_listening(session, via, deaf_after=deaf_after):
                    return total
                silent = await silence.find_silent(session, via, after=after, limit=BATCH)
                for each in silent:
                    if each.moved:
                        await machines.retire(session, each.key, reason="moved", now=self._now())
                still_here = [each.key for each in silent if not each.moved]
                if still_here:
                    total += await self._detect(session, still_here, FaultDetector.mark_silent)
            if len(silent) < BATCH:
                return total

    async def _detect(
        self,
        session: AsyncSession,
        keys: Collection[MachineKey],
        detect: Callable[[FaultDetector], Outcome],
    ) -> int:
        """Detect faults of machines that sent nothing; returns how many were not locked."""
        locked = await machines.lock_machines(session, keys)
        now = self._now()
        writer = OutcomeWriter(
            session, self._outbox, now=now, escalate_after=self._settings.escalation.first_after
        )
        for machine in locked.values():
            before = machine.state.open_faults()
            outcome = detect(FaultDetector(machine.state, self._policy, now, new_id))
            await writer.add(machine, before, outcome, kind=machine.kind)
        await writer.write()
        return len(locked)

    async def retire(self, key: MachineKey, *, by: Actor, reason: str | None = None) -> bool:
        """Delete a piece of equipment and clear its faults; False if there is none. It is audited."""
        if not is_equipment_id(key.equipment_id):
            return False
        async with self._database.transaction() as session:
            retired = await machines.retire(session, key, reason="retired", now=self._now())
            if retired:
                await write_act(session, Act("equipment.retire", key.equipment_id, by, reason))
            return retired

    async def prune(self) -> int:
        """Delete samples and cleared faults that are older than they are kept; returns how many rows."""
        samples = timedelta(hours=self._settings.samples_kept_h)
        faults_kept = timedelta(days=self._settings.faults_kept_days)
        statements = retention.expired(samples=samples, faults=faults_kept)
        return sum([await delete_in_slices(self._database.transaction, each) for each in statements])
