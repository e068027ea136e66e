"""Takes samples, looks for silence and lets faults ring: the rules of ``judging`` on what is remembered."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from prometheus_client import Counter
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from laundry_events import Outbox, new_id
from laundry_service.audit.acts import Act, Actor
from laundry_service.audit.writing import write as write_act
from laundry_service.database import Database
from monitoring.fault_detection import Judging, Look, Outcome
from monitoring.repository import equipment as repository
from monitoring.repository import faults as fault_rows
from monitoring.repository.equipment import Heard, Known, Via, lock_machines
from monitoring.repository.faults import MachineKey
from monitoring.sample_issues import said_of
from monitoring.service.recording import Settlement, standings
from monitoring.settings import Settings
from monitoring.telemetry import Looked, Parsed, Sample, Trouble, is_equipment_id
from monitoring.timeline import Standing

BATCH = 200
PAUSES_S = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
"""How long machines are left alone that somebody else holds, before they are tried again."""

LOCK_NOT_AVAILABLE = "55P03"

SAMPLES = Counter("laundry_telemetry_samples", "Samples by what became of them", ["via", "outcome"])
PROBLEMS = Counter("laundry_telemetry_problems", "What was to be said of samples", ["via", "code"])


@dataclass
class Taken:
    """What became of the samples of one request."""

    accepted: int = 0
    duplicate: int = 0
    ignored: int = 0
    refused: list[Trouble] = field(default_factory=list)
    problems: list[Trouble] = field(default_factory=list)

    @property
    def taken(self) -> int:
        """How many samples came in at all."""
        return self.accepted + self.duplicate + self.ignored


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Monitor:
    """The service's doings, safe in any number of replicas: a machine's row is held while it is judged."""

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
        self._policy = settings.policy
        self.known_metrics = settings.known_metrics
        self.now = now

    async def take(self, parsed: Parsed, *, via: Via, speaks_for: frozenset[str] | None = None) -> Taken:
        """Store samples and judge them, each machine's in one transaction with its faults and their events.

        A machine whose row somebody holds for longer than a moment is refused (``busy``); the others are not.

        Args:
            speaks_for: the branches of the sender's token, if it is the machine's own.
        """
        taken = Taken(refused=list(parsed.refused), problems=list(parsed.problems))
        waiting: dict[MachineKey, list[Looked]] = {}
        for look in parsed.looks:
            waiting.setdefault((look.sample.branch_id, look.sample.equipment_id), []).append(look)
        heard = Heard(via, speaks_for)
        for pause in (*PAUSES_S, None):
            for key in await self._take_free(waiting, taken, heard):
                del waiting[key]
            if not waiting or pause is None:
                break
            await asyncio.sleep(pause)
        for looks in waiting.values():
            detail = "This machine is busy just now; its sample was not stored. Send it again soon."
            taken.refused += [Trouble(look.index, "busy", detail) for look in looks]
        self._count(taken, via)
        return taken

    def _count(self, taken: Taken, via: Via) -> None:
        taken.problems.sort(key=lambda trouble: trouble.index)
        taken.refused.sort(key=lambda trouble: trouble.index)
        for outcome in ("accepted", "duplicate", "ignored"):
            if amount := getattr(taken, outcome):
                SAMPLES.labels(via, outcome).inc(amount)
        if taken.refused:
            SAMPLES.labels(via, "refused").inc(len(taken.refused))
        for trouble in (*taken.problems, *taken.refused):
            PROBLEMS.labels(via, trouble.code).inc()

    async def _take_free(
        self, waiting: Mapping[MachineKey, list[Looked]], taken: Taken, heard: Heard
    ) -> Collection[MachineKey]:
        """Take what can be taken without waiting for anybody. Returns whose samples were."""
        if not waiting:
            return ()
        kinds = {key: looks[0].sample.kind for key, looks in waiting.items()}
        done = Taken()
        try:
            async with self._database.transaction() as session:
                known = await lock_machines(session, waiting, kinds)
                looks = [look for key in known for look in waiting[key]]
                # The rows are held: whoever was first is known, so the moment is taken now.
                now = self.now()
                fresh = await self._store(session, looks, done)
                settlement = Settlement(session, self._outbox, now=now)
                held = [(known[key], found) for key, found in fresh.items()]
                await self._judge_all(settlement, held, done, now)
                await settlement.write(heard)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                raise
            return ()
        taken.accepted += done.accepted
        taken.duplicate += done.duplicate
        taken.ignored += done.ignored
        taken.problems += done.problems
        return list(known)

    async def _store(
        self, session: AsyncSession, looks: Sequence[Looked], done: Taken
    ) -> dict[MachineKey, list[Looked]]:
        """Store samples; returns those that are no duplicates, by machine."""
        stored = await repository.store_samples(session, (look.sample for look in looks))
        fresh: dict[MachineKey, list[Looked]] = {}
        for look in looks:
            sample = look.sample
            once = (sample.branch_id, sample.equipment_id, sample.recorded_at, sample.fault_code)
            if once in stored:
                stored.discard(once)
                fresh.setdefault(once[:2], []).append(look)
                continue
            done.duplicate += 1
            done.problems.append(said_of("duplicate", look.index))
        return fresh

    async def _judge_all(
        self, settlement: Settlement, held: Sequence[tuple[Known, list[Looked]]], done: Taken, now: datetime
    ) -> None:
        for known, looks in held:
            before = standings(known.machine)
            kind = looks[-1].sample.kind
            judging = Judging(known.machine, self._policy, now, new_id)
            outcome = judging.take([_look(look) for look in looks], self._settings.limits_of(kind))
            self._answer(looks, outcome, done, now)
            newest = None if outcome.newest is None else looks[outcome.newest].sample
            await settlement.note(known, before, outcome, kind=kind, newest=newest)

    def _answer(self, looks: Sequence[Looked], outcome: Outcome, done: Taken, now: datetime) -> None:
        for look, placed in zip(looks, outcome.placed, strict=True):
            coded = look.sample.fault_code is not None
            back = placed.standing is Standing.BACK
            if back and not coded:
                done.ignored += 1
                done.problems.append(said_of("late", look.index))
                continue
            old = placed.clock_off and not look.clockless and look.sample.recorded_at < now
            if old and not coded and not placed.set_back:
                done.ignored += 1
            else:
                done.accepted += 1
            if look.sample.recorded_at > now and placed.clock_off:
                ahead = (look.sample.recorded_at - now).total_seconds()
                done.problems.append(said_of("recorded-in-future", look.index, ahead=ahead, now=now))
            elif placed.clock_off and not look.clockless:
                done.problems.append(said_of("clock-back" if back else "too-old", look.index))

    async def _revisit(
        self, session: AsyncSession, keys: Collection[MachineKey], visit: Callable[[Judging], Outcome]
    ) -> int:
        """Judge machines that sent nothing. Returns how many of them nobody else held."""
        held = await lock_machines(session, keys)
        now = self.now()
        settlement = Settlement(session, self._outbox, now=now)
        for known in held.values():
            before = standings(known.machine)
            outcome = visit(Judging(known.machine, self._policy, now, new_id))
            await settlement.note(known, before, outcome, kind=known.kind)
        await settlement.write(None)
        return len(held)

    async def ring(self) -> int:
        """Let those faults ring that had to wait and are still open. Returns of how many machines."""
        total = 0
        while True:
            async with self._database.transaction() as session:
                keys = await fault_rows.find_due(session, now=self.now(), limit=BATCH)
                done = await self._revisit(session, keys, Judging.due) if keys else 0
            total += done
            if done < BATCH:
                return total

    async def look_for_silence(self, hears_mqtt: Callable[[], Awaitable[bool]]) -> int:
        """Make a fault of each piece of equipment that fell silent. Returns how many.

        Silence counts only while we could hear: after an outage of this service (or of the broker, for
        equipment that speaks MQTT) every piece of equipment has the whole time again. One that is heard from
        another branch with a token that names both has moved: it is forgotten here.
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
                silent = await repository.find_silent(session, via, after=after, limit=BATCH)
                for key in (key for key, moved in silent.items() if moved):
                    await repository.retire(session, key, by="moved", now=self.now())
                still_here = [key for key, moved in silent.items() if not moved]
                if still_here:
                    total += await self._revisit(session, still_here, Judging.silence)
            if len(silent) < BATCH:
                return total

    async def retire(
        self, equipment_id: str, branch_id: str, *, by: Actor, reason: str | None = None
    ) -> bool:
        """Forget a piece of equipment and clear its faults; false if there is none. It is audited."""
        if not is_equipment_id(equipment_id):
            return False
        key = (branch_id, equipment_id)
        async with self._database.transaction() as session:
            retired = await repository.retire(session, key, by="retired", now=self.now())
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


def _look(look: Looked) -> Look:
    sample: Sample = look.sample
    return Look(sample.recorded_at, sample.fault_code, sample.metrics, look.clockless)
