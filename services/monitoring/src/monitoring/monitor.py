"""Takes samples and looks for silence: the rules of ``faults`` on what the database remembers."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog
from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncSession

from laundry_events import Outbox, new_id
from laundry_events.events import EquipmentFault
from laundry_service.audit.acts import Act, Actor
from laundry_service.audit.writing import write as write_act
from laundry_service.database import Database
from monitoring import repository
from monitoring.faults import HEARTBEAT, Found, Key, Reading, State, observe, sorted_keys
from monitoring.repository import Known, NewFault, Via
from monitoring.settings import Settings
from monitoring.telemetry import Sample, Trouble, check, is_equipment_id

SILENT_BATCH = 200

SAMPLES = Counter("laundry_telemetry_samples", "Samples by what became of them", ["via", "outcome"])
OPENED = Counter("laundry_faults_opened", "Faults that began", ["cause", "kind"])
CLEARED = Counter("laundry_faults_cleared", "Faults that are over", ["cause"])

log = structlog.get_logger(__name__)


@dataclass
class Taken:
    """What became of the samples of one request."""

    accepted: int = 0
    duplicate: int = 0
    ignored: int = 0
    problems: list[Trouble] = field(default_factory=list)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Monitor:
    """The service's two doings. Both are safe in any number of replicas: rows are locked, in one order."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        *,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        """Take the limits and the database. ``now`` is the clock that samples are held against."""
        self._settings = settings
        self._database = database
        self._outbox = Outbox(settings.service_name)
        self._metrics = settings.known_metrics
        self._now = now

    async def take(self, samples: Sequence[Sample], *, via: Via) -> Taken:
        """Store samples and judge them, in one transaction with the faults and their events.

        Raises:
            BadTelemetry: nothing was stored.
        """
        now = self._now()
        check(samples, self._metrics, now=now)
        taken = Taken()
        fresh = self._sort_out(samples, taken, now)
        if fresh:
            async with self._database.transaction() as session:
                await self._take_fresh(session, fresh, taken, via=via, now=now)
        taken.problems.sort(key=lambda trouble: trouble.index)
        for outcome in ("accepted", "duplicate", "ignored"):
            SAMPLES.labels(via, outcome).inc(getattr(taken, outcome))
        return taken

    def _sort_out(
        self, samples: Sequence[Sample], taken: Taken, now: datetime
    ) -> dict[tuple[str, datetime], tuple[int, Sample]]:
        fresh: dict[tuple[str, datetime], tuple[int, Sample]] = {}
        for index, sample in enumerate(samples):
            key = (sample.equipment_id, sample.recorded_at)
            if sample.recorded_at < now - self._settings.too_old:
                taken.ignored += 1
                hours = self._settings.too_old.total_seconds() / 3600
                detail = f"recorded_at is more than {hours:.0f} h ago; such samples are not stored."
                taken.problems.append(Trouble(index, "too-old", detail))
            elif key in fresh:
                self._count_duplicate(taken, index)
            else:
                fresh[key] = (index, sample)
        return fresh

    def _count_duplicate(self, taken: Taken, index: int) -> None:
        taken.duplicate += 1
        detail = "A sample of this equipment and recorded_at is stored already; it has no second effect."
        taken.problems.append(Trouble(index, "duplicate", detail))

    async def _take_fresh(
        self,
        session: AsyncSession,
        fresh: dict[tuple[str, datetime], tuple[int, Sample]],
        taken: Taken,
        *,
        via: Via,
        now: datetime,
    ) -> None:
        known = await repository.lock_equipment(session, [sample for _, sample in fresh.values()])
        stored = await repository.store_samples(session, (sample for _, sample in fresh.values()))
        by_equipment: dict[str, list[tuple[int, Sample]]] = {}
        for key, (index, sample) in fresh.items():
            if key in stored:
                by_equipment.setdefault(sample.equipment_id, []).append((index, sample))
            else:
                self._count_duplicate(taken, index)
        changed: list[str] = []
        for equipment_id in sorted(by_equipment):
            found = known[equipment_id]
            newer: list[Sample] = []
            for index, sample in sorted(by_equipment[equipment_id], key=lambda item: item[1].recorded_at):
                if found.recorded_at is None or sample.recorded_at > found.recorded_at:
                    taken.accepted += 1
                    newer.append(sample)
                    continue
                taken.ignored += 1
                detail = "Older than the newest sample that is known: kept as history, it changes no fault."
                taken.problems.append(Trouble(index, "late", detail))
            if not newer:
                await repository.store_heard(session, equipment_id, via=via)
            elif await self._judge(session, found, newer, via=via, now=now):
                changed.append(equipment_id)
        await repository.tell_change(session, changed)

    async def _judge(
        self, session: AsyncSession, known: Known, newer: Sequence[Sample], *, via: Via, now: datetime
    ) -> bool:
        """Apply the rules to samples in order; returns whether those who watch should hear of it."""
        state, fault_ids = known.state, dict(known.fault_ids)
        branch_id = known.branch_id
        changed = known.recorded_at is None
        for sample in newer:
            if sample.branch_id != branch_id:
                # The old branch is rid of it; trouble that goes on is a fault of the new branch.
                for key in sorted_keys(state.open):
                    await self._clear(session, fault_ids.pop(key), key, "moved", now)
                await repository.tell_left(session, known.id, branch_id)
                state, branch_id, changed = State(), sample.branch_id, True
            reading = Reading(sample.recorded_at, sample.fault_code, sample.metrics)
            limits = self._settings.limits_of(sample.kind)
            verdict = observe(state, reading, limits, limit_for=self._settings.limit_for)
            for key, by in verdict.cleared:
                await self._clear(session, fault_ids.pop(key), key, by, now)
            for found in verdict.opened:
                new = NewFault(new_id(), known.id, branch_id, found, now)
                fault_ids[found.key] = await self._open(session, new, sample.kind)
            changed = changed or bool(verdict.opened or verdict.cleared)
            state = verdict.state
        await repository.store_newest(session, newer[-1], state, via=via)
        return changed

    async def _open(self, session: AsyncSession, new: NewFault, kind: str) -> str:
        await repository.open_fault(session, new)
        found = new.found
        await self._outbox.add(
            session,
            EquipmentFault(
                fault_id=new.id,
                equipment_id=new.equipment_id,
                branch_id=new.branch_id,
                kind=kind,
                cause=found.key.cause,
                fault_code=found.fault_code,
                metric=found.metric,
                value=found.value,
                limit=found.limit,
                detected_at=new.detected_at,
            ),
        )
        OPENED.labels(found.key.cause, kind).inc()
        log.warning(
            "equipment fault",
            fault_id=new.id,
            equipment_id=new.equipment_id,
            branch_id=new.branch_id,
            cause=found.key.cause,
            key=found.key.key,
        )
        return new.id

    async def _clear(self, session: AsyncSession, fault_id: str, key: Key, by: str, now: datetime) -> None:
        await repository.clear_fault(session, fault_id, by=by, now=now)
        CLEARED.labels(key.cause).inc()
        log.info("equipment fault cleared", fault_id=fault_id, cause=key.cause, by=by)

    async def look_for_silence(self, hears_mqtt: Callable[[], Awaitable[bool]]) -> int:
        """Make a fault of each piece of equipment that fell silent. Returns how many.

        Silence counts only while we could hear: after an outage of this service (or of the broker, for
        equipment that speaks MQTT) every piece of equipment has the whole time again.
        """
        settings = self._settings
        after = timedelta(seconds=settings.heartbeat_after_s)
        deaf_after = timedelta(seconds=max(3 * settings.heartbeat_check_s, settings.heartbeat_after_s / 4))
        via: list[Via] = ["http", "mqtt"] if await hears_mqtt() else ["http"]
        total = 0
        while True:
            async with self._database.transaction() as session:
                if not await repository.note_hearing(session, via, deaf_after=deaf_after):
                    return total
                silent = await repository.lock_silent(session, via, after=after, limit=SILENT_BATCH)
                now = self._now()
                for row in silent:
                    new = NewFault(new_id(), row.id, row.branch_id, Found(HEARTBEAT), now)
                    await self._open(session, new, row.kind)
                    await repository.count_fault(session, row.id)
                await repository.tell_change(session, [row.id for row in silent])
            total += len(silent)
            if len(silent) < SILENT_BATCH:
                return total

    async def retire(self, equipment_id: str, *, by: Actor, reason: str | None = None) -> bool:
        """Forget a piece of equipment and clear its faults; false if there is none. It is audited."""
        if not is_equipment_id(equipment_id):
            return False
        async with self._database.transaction() as session:
            retired = await repository.retire(session, equipment_id, now=self._now())
            if retired:
                await write_act(session, Act("equipment.retire", equipment_id, by, reason))
            return retired

    async def prune(self) -> int:
        """Delete samples and cleared faults that are older than they are kept. Returns how many rows."""
        settings = self._settings
        total = 0
        while True:
            async with self._database.transaction() as session:
                gone = await repository.prune(
                    session,
                    samples=timedelta(hours=settings.samples_kept_h),
                    faults=timedelta(days=settings.faults_kept_days),
                    limit=5000,
                )
            total += gone
            if gone < 5000:
                return total
