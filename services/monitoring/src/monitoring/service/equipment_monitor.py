"""Watches equipment between samples: silence, alerts that waited, retirement, and what is too old to keep."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from laundry_events import Outbox, new_id
from laundry_service.audit.acts import Act, Actor
from laundry_service.audit.writing import write as write_act
from laundry_service.storage.database import Database
from laundry_service.storage.outages import is_contention, is_outage
from laundry_service.storage.slices import delete_in_slices
from monitoring.fault_detection import FaultDetector
from monitoring.machine import MachineKey, Outcome, Via
from monitoring.repository import faults, machines, retention, silence
from monitoring.repository.silence import SilentMachine
from monitoring.service.clock import Clock, utc_now
from monitoring.service.outcome_writer import OutcomeWriter
from monitoring.settings import Settings
from monitoring.telemetry import is_equipment_id

BATCH = 200

Find = Callable[[AsyncSession, int, Collection[MachineKey]], Awaitable[Sequence[SilentMachine]]]
"""Finds up to so many machines, and none of some."""

log = structlog.get_logger(__name__)


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

        async def find(
            session: AsyncSession, limit: int, but: Collection[MachineKey]
        ) -> Sequence[SilentMachine]:
            keys = await faults.find_due(session, now=self._now(), limit=limit, but=but)
            return [SilentMachine(key, moved=False) for key in keys]

        return await self._take_all(find, FaultDetector.alert_due)

    async def look_for_silence(self, hears_mqtt: Callable[[], Awaitable[bool]]) -> int:
        """Make a fault of each piece of equipment that fell silent; returns how many fell silent or moved.

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

        async def find(
            session: AsyncSession, limit: int, but: Collection[MachineKey]
        ) -> Sequence[SilentMachine]:
            if not await silence.note_listening(session, via, deaf_after=deaf_after):
                return ()
            return await silence.find_silent(session, via, after=after, limit=limit, but=but)

        return await self._take_all(find, FaultDetector.mark_silent)

    async def _take_all(self, find: Find, detect: Callable[[FaultDetector], Outcome]) -> int:
        """Take all machines that ``find`` finds, many in each transaction; returns of how many.

        One that cannot be read fails all those beside it, at each look. They are then taken one by one, and
        it is passed by.

        Raises:
            Exception: what became of the last that was passed by.
        """
        total, alone = 0, 0
        not_again: set[MachineKey] = set()
        failure: Exception | None = None
        while True:
            limit = 1 if alone else BATCH
            found: Sequence[SilentMachine] = ()
            try:
                async with self._database.transaction() as session:
                    found = await find(session, limit, not_again)
                    done = await self._take(session, found, detect)
            except Exception as error:
                if not found or is_outage(error) or is_contention(error):
                    raise
                if len(found) > 1:
                    alone = len(found)
                    continue
                failure, key = error, found[0].key
                not_again.add(key)
                log.exception(
                    "a machine is passed by", equipment_id=key.equipment_id, branch_id=key.branch_id
                )
            else:
                total += done
                if done < len(found):  # others hold the rest, and look after them
                    not_again.update(each.key for each in found)
            alone = max(0, alone - 1)
            if len(found) < limit:
                break
        if failure is not None:
            raise failure
        return total

    async def _take(
        self,
        session: AsyncSession,
        found: Sequence[SilentMachine],
        detect: Callable[[FaultDetector], Outcome],
    ) -> int:
        for each in found:
            if each.moved:
                await machines.retire(session, each.key, reason="moved", now=self._now())
        still_here = [each.key for each in found if not each.moved]
        done = await self._detect(session, still_here, detect) if still_here else 0
        return len(found) - len(still_here) + done

    async def _detect(
        self,
        session: AsyncSession,
        keys: Collection[MachineKey],
        detect: Callable[[FaultDetector], Outcome],
    ) -> int:
        """Detect faults of machines that sent nothing; returns how many were not locked."""
        locked = await machines.lock_machines(session, keys)
        now = self._now()
        writer = OutcomeWriter(session, self._outbox, self._settings, now=now)
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
