"""Accepts samples: stores them and detects faults, all of a machine in one transaction."""

import asyncio
from collections.abc import Sequence
from dataclasses import InitVar, dataclass, field
from datetime import datetime

from prometheus_client import Counter
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from laundry_events import Outbox, new_id
from laundry_service.storage.database import Database
from laundry_service.storage.outages import is_contention
from monitoring.fault_detection import FaultDetector
from monitoring.machine import Contact, MachineKey, Report, Via
from monitoring.repository.machines import LockedMachine, lock_machines
from monitoring.repository.samples import key_of, store_samples
from monitoring.sample_issues import SampleIssue, issue_of, recorded_in_future
from monitoring.service.clock import Clock, utc_now
from monitoring.service.outcome_writer import OutcomeWriter
from monitoring.settings import Settings
from monitoring.telemetry import IndexedSample, ParsedTelemetry
from monitoring.timeline import Order, SampleTime

PAUSES_S = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
"""The pauses before machines with a locked row are tried again."""

SAMPLES = Counter("laundry_telemetry_samples", "Samples by what became of them", ["via", "outcome"])
PROBLEMS = Counter("laundry_telemetry_problems", "What was to be said of samples", ["via", "code"])


@dataclass
class IntakeResult:
    """The outcome of one request's samples."""

    accepted: int = 0
    duplicate: int = 0
    ignored: int = 0
    refused: list[SampleIssue] = field(default_factory=list)
    problems: list[SampleIssue] = field(default_factory=list)

    @property
    def taken(self) -> int:
        """How many samples were not refused."""
        return self.accepted + self.duplicate + self.ignored

    def add(self, other: "IntakeResult") -> None:
        """Add what became of others."""
        self.accepted += other.accepted
        self.duplicate += other.duplicate
        self.ignored += other.ignored
        self.refused += other.refused
        self.problems += other.problems

    def count(self, via: Via) -> None:
        """Put the issues in order and count everything for the metrics."""
        for issues in (self.problems, self.refused):
            issues.sort(key=lambda issue: issue.index)
        amounts = {
            "accepted": self.accepted,
            "duplicate": self.duplicate,
            "ignored": self.ignored,
            "refused": len(self.refused),
        }
        for outcome, amount in amounts.items():
            if amount:
                SAMPLES.labels(via, outcome).inc(amount)
        for issue in (*self.problems, *self.refused):
            PROBLEMS.labels(via, issue.code).inc()


@dataclass
class IntakeRequest:
    """Samples that came together, and what became of them so far.

    Attributes:
        waiting: those that are not stored yet, by machine.
    """

    parsed: InitVar[ParsedTelemetry]
    contact: Contact
    waiting: dict[MachineKey, list[IndexedSample]] = field(init=False, default_factory=dict)
    result: IntakeResult = field(init=False)

    def __post_init__(self, parsed: ParsedTelemetry) -> None:
        self.result = IntakeResult(refused=list(parsed.refused), problems=list(parsed.problems))
        for each in parsed.samples:
            key = MachineKey(each.sample.branch_id, each.sample.equipment_id)
            self.waiting.setdefault(key, []).append(each)


@dataclass(frozen=True)
class _Waiting:
    """A sample, how it arrived, and the result that it counts in."""

    indexed: IndexedSample
    contact: Contact
    into: IntakeResult

    def answer(self, time: SampleTime, now: datetime) -> None:
        if _is_ignored(self.indexed, time, now):
            self.into.ignored += 1
        else:
            self.into.accepted += 1
        self.into.problems += _issues(self.indexed, time, now)


class TelemetryIntake:
    """Safe in any number of replicas: a machine's row is held while its faults are detected."""

    def __init__(self, settings: Settings, database: Database, *, now: Clock = utc_now) -> None:
        """Judge by these limits. ``now`` is the clock that samples are compared with."""
        self._settings = settings
        self._database = database
        self._outbox = Outbox(settings.service_name)
        self._policy = settings.policy
        self.known_metrics = settings.known_metrics
        self.now = now

    async def take(self, request: IntakeRequest) -> IntakeResult:
        """Store samples and detect faults, each machine's in one transaction with their events.

        A machine whose row stays locked for more than a moment is refused (``busy``); the others are not.
        """
        for pause_s in (*PAUSES_S, None):
            await self._take_free([request])
            if not request.waiting or pause_s is None:
                break
            await asyncio.sleep(pause_s)
        result = request.result
        for samples in request.waiting.values():
            detail = "This machine is busy just now; its sample was not stored. Send it again soon."
            result.refused += [SampleIssue(each.index, "busy", detail) for each in samples]
        result.count(request.contact.via)
        return result

    async def take_known(self, requests: Sequence[IntakeRequest]) -> None:
        """Store what can be stored at once of several requests, in one transaction; ``take`` does the rest.

        Left to it are machines that are new or whose row is locked: here neither is waited for.
        """
        await self._take_free(requests, register=False)

    async def _take_free(self, requests: Sequence[IntakeRequest], *, register: bool = True) -> None:
        """Take the samples of machines whose rows are not locked."""
        kinds = {
            key: samples[0].sample.kind for request in requests for key, samples in request.waiting.items()
        }
        if not kinds:
            return
        done = [IntakeResult() for _ in requests]
        try:
            async with self._database.transaction() as session:
                locked = await lock_machines(session, kinds, kinds if register else None)
                # The rows are locked, so the order is fixed; take the time now.
                now = self.now()
                samples = [
                    _Waiting(each, request.contact, into)
                    for key in locked
                    for request, into in zip(requests, done, strict=True)
                    for each in request.waiting.get(key, ())
                ]
                writer = OutcomeWriter(session, self._outbox, self._settings, now=now)
                for key, fresh in (await _store(session, samples)).items():
                    await self._detect(writer, locked[key], fresh, now)
                await writer.write()
        except DBAPIError as error:
            if not is_contention(error):
                raise
            return
        for request, into in zip(requests, done, strict=True):
            request.result.add(into)
            for key in locked:
                request.waiting.pop(key, None)

    async def _detect(
        self, writer: OutcomeWriter, machine: LockedMachine, samples: Sequence[_Waiting], now: datetime
    ) -> None:
        before = machine.state.open_faults()
        last = samples[-1]
        kind = last.indexed.sample.kind
        detector = FaultDetector(machine.state, self._policy, now, new_id)
        outcome = detector.take([_report(each.indexed) for each in samples], self._settings.limits_of(kind))
        for each, time in zip(samples, outcome.sample_times, strict=True):
            each.answer(time, now)
        newest = None if outcome.newest is None else samples[outcome.newest].indexed.sample
        await writer.add(machine, before, outcome, kind=kind, contact=last.contact, newest=newest)


async def _store(session: AsyncSession, samples: Sequence[_Waiting]) -> dict[MachineKey, list[_Waiting]]:
    """Store samples; returns the new ones by machine."""
    stored = await store_samples(session, (each.indexed.sample for each in samples))
    fresh: dict[MachineKey, list[_Waiting]] = {}
    for each in samples:
        key = key_of(each.indexed.sample)
        if key in stored:
            stored.discard(key)
            fresh.setdefault(key.machine, []).append(each)
            continue
        each.into.duplicate += 1
        each.into.problems.append(issue_of("duplicate", each.indexed.index))
    return fresh


def _report(indexed: IndexedSample) -> Report:
    sample = indexed.sample
    return Report(sample.recorded_at, sample.fault_code, sample.metrics, indexed.clock_unreadable)


def _is_ignored(indexed: IndexedSample, time: SampleTime, now: datetime) -> bool:
    """Whether a sample is history only: it has no code, and its time says that it is old."""
    if indexed.sample.fault_code is not None:
        return False
    if time.order is Order.OUT_OF_ORDER:
        return True
    clock_behind = time.clock_off and not indexed.clock_unreadable and indexed.sample.recorded_at < now
    return clock_behind and not time.clock_set_back


def _issues(indexed: IndexedSample, time: SampleTime, now: datetime) -> list[SampleIssue]:
    sample, out_of_order = indexed.sample, time.order is Order.OUT_OF_ORDER
    if out_of_order and sample.fault_code is None:
        return [issue_of("late", indexed.index)]
    if not time.clock_off:
        return []
    if sample.recorded_at > now:
        return [recorded_in_future(indexed.index, recorded_at=sample.recorded_at, now=now)]
    if indexed.clock_unreadable:
        return []
    return [issue_of("clock-back" if out_of_order else "too-old", indexed.index)]
