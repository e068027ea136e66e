"""Faults come in: they are stored for the owners of the branch, and ``FaultSender`` pushes them.

What arrives together is stored together: a thousand faults of one branch take a handful of transactions, so
that the next branch's fault behind them in the queue is not delayed.
"""

import asyncio
import time
from collections import Counter as Tally
from collections.abc import Callable, Sequence
from datetime import timedelta
from operator import attrgetter
from zoneinfo import ZoneInfo

import structlog
from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncSession

from laundry_events import EventMeta, claim_once
from laundry_events.errors import MalformedMessage, RequeueMessage
from laundry_events.events import EquipmentFault, FaultAcknowledged
from laundry_events.group_commit import GroupCommit
from laundry_events.inbox import claim_each_once
from laundry_service.storage.database import Database
from laundry_service.storage.outages import is_contention, is_outage
from laundry_service.telemetry.resuming import traceparent
from notification.fault_texts import fault_texts
from notification.model import Announcement
from notification.repository import faults, overtaken, ring_order, settled
from notification.repository.faults import Owner, Recipient
from notification.ring_order import first_states
from notification.service.transactions import effect_of_message

CONSUMER = "notification.equipment-fault"
ACKNOWLEDGEMENTS = "notification.fault-acknowledged"
MAX_TOGETHER = 200
SEPARATE_FOR_S = 30.0
SEPARATE_AT_ONCE = 3

UNHEARD = Counter("laundry_faults_unheard", "Faults of a branch that has no known owner")
UNANSWERED = Counter(
    "laundry_faults_unanswered", "Faults that nobody acknowledged and no phone is left to ring for"
)

log = structlog.get_logger(__name__)

Outcomes = Sequence[BaseException | None]
"""For each announcement its own error, if it could not be stored."""


class FaultIntake:
    """Stores faults and queues their pushes; wakes the sender after the commit."""

    def __init__(
        self,
        database: Database,
        *,
        zone: ZoneInfo,
        owner_known: timedelta,
        owners_at_once: int,
        wake: Callable[[], None],
    ) -> None:
        """Word times in ``zone``; remember owners for ``owner_known``; call ``wake`` after each commit."""
        self._database = database
        self._zone = zone
        self._owner_known = owner_known
        self._owners_at_once = owners_at_once
        self._wake = wake
        self._commits = GroupCommit(self._commit, at_most=MAX_TOGETHER)
        # Branches with a locked row, until when: their faults are stored separately for a while.
        self._separate: dict[str, float] = {}
        self._separate_slots = asyncio.Semaphore(SEPARATE_AT_ONCE)

    async def handle(self, fault: EquipmentFault, meta: EventMeta) -> None:
        """Store a notification for each owner of the branch and a delivery for each phone that is to ring.

        A fault that was stored before is queued again for the phones that it did not reach. One that is
        passed on rings the next owner, or the operators. One that is told again from the history rings
        nobody, and takes no ring from one that comes itself later.

        Raises:
            MalformedMessage: it has text that cannot be stored.
            RequeueMessage: a row that it needs is locked; nothing was stored.
        """
        if any(isinstance(value, str) and "\0" in value for value in fault.model_dump().values()):
            raise MalformedMessage("a text of the fault has the character NUL")
        announcement = announcement_of(fault, meta.id, self._zone, silent=meta.replayed)
        lane = fault.branch_id if self._is_separate(fault.branch_id) else ""
        await self._commits.add(announcement, lane=lane)
        self._wake()

    def _is_separate(self, branch: str) -> bool:
        return self._separate.get(branch, 0.0) > time.monotonic()

    async def _commit(self, announcements: Sequence[Announcement]) -> Outcomes:
        if self._is_separate(announcements[0].branch_id):
            async with self._separate_slots:
                return await self._store_or_divide(announcements)
        return await self._store_or_divide(announcements)

    async def _store_or_divide(self, announcements: Sequence[Announcement]) -> Outcomes:
        """Store all in one transaction; if one branch or fault makes it fail, store the others without it."""
        try:
            await self._store(announcements)
        except Exception as error:
            if is_outage(error):
                raise
            branches = {each.branch_id for each in announcements}
            if len(branches) == 1 and is_contention(error):
                return self._held_up(announcements, error)
            if len(announcements) == 1:
                return [error]
            log.warning("faults are stored apart", error=f"{type(error).__name__}: {error}"[:300])
            return await self._store_groups(announcements, _divide(announcements))
        return [None] * len(announcements)

    async def _store_groups(
        self, announcements: Sequence[Announcement], groups: Sequence[Sequence[int]]
    ) -> Outcomes:
        outcomes: list[BaseException | None] = [None] * len(announcements)
        slots = asyncio.Semaphore(SEPARATE_AT_ONCE)

        async def store(group: Sequence[int]) -> None:
            async with slots:
                parts = await self._store_or_divide([announcements[index] for index in group])
            for index, part in zip(group, parts, strict=True):
                outcomes[index] = part

        for ended in await asyncio.gather(*(store(group) for group in groups), return_exceptions=True):
            if isinstance(ended, BaseException):
                raise ended
        return outcomes

    def _held_up(self, announcements: Sequence[Announcement], error: Exception) -> Outcomes:
        branch = announcements[0].branch_id
        now = time.monotonic()
        self._separate = {each: until for each, until in self._separate.items() if until > now}
        self._separate[branch] = now + SEPARATE_FOR_S
        log.warning("a branch's faults wait for a row that somebody holds", branch=branch)
        held_up = RequeueMessage(f"a row that faults of {branch} need is locked")
        held_up.__cause__ = error
        return [held_up] * len(announcements)

    async def _store(self, announcements: Sequence[Announcement]) -> None:
        async with self._database.transaction() as session:
            new = await claim_each_once(session, CONSUMER, {each.event_id for each in announcements})
            aloud = {each.event_id for each in announcements if not each.silent}
            overtook = await overtaken.now_come(session, CONSUMER, aloud - new)
            new |= overtook
            # Of what comes both ways at once the message itself counts.
            fresh = {
                each.event_id: each
                for each in announcements
                if each.event_id in new and not (each.silent and each.event_id in aloud)
            }
            await overtaken.note(session, CONSUMER, fresh.keys() - aloud)
            repeated = {
                each.subject for each in announcements if each.event_id not in new and not each.silent
            }
            # Before any row is written: see the module of what is settled.
            handled = await settled.hold(session, repeated | {each.subject for each in fresh.values()})
            await overtaken.untell(session, overtook, {fresh[each].subject for each in overtook})
            if fresh:
                branches = {each.branch_id for each in fresh.values()}
                owners = await faults.owners_of(session, branches, seen_within=self._owner_known)
                recipients = [self._recipients(each, owners[each.branch_id]) for each in fresh.values()]
                ringing = await faults.add_notifications(session, list(fresh.values()), recipients)
                ringers = (each for each in fresh.values() if not each.silent)
                passed_on = [each for each in ringers if each.escalation and each.subject not in handled]
                if passed_on:
                    ringing += await self._pass_on(session, passed_on)
                await faults.queue_pushes(session, ringing)
                if passed_on:
                    await ring_order.let_ring(session, ringing, list(_newest(passed_on).values()))
                await settled.silence(session, handled)
            if unsettled := repeated - handled:
                await faults.requeue_undelivered(session, unsettled)
        for each in fresh.values():
            if not owners[each.branch_id] and not each.silent:
                UNHEARD.inc()
                log.warning("a fault has nobody to tell", branch=each.branch_id, fault=each.subject)

    async def acknowledged(self, event: FaultAcknowledged, meta: EventMeta) -> None:
        """Let a fault that somebody takes care of ring nobody else.

        Raises:
            RequeueMessage: a row that it needs is locked; nothing was changed.
        """
        async with effect_of_message(self._database) as session:
            if await claim_once(session, ACKNOWLEDGEMENTS, meta.id):
                await settled.settle(session, subject_of(event.fault_id))

    def _recipients(self, announcement: Announcement, owners: Sequence[Owner]) -> Sequence[Recipient]:
        # What is passed on rings by turns: those who were on standby before are first.
        at_once = 0 if announcement.escalation else self._owners_at_once
        states = first_states([owner.has_phone for owner in owners], at_once=at_once)
        if announcement.silent:
            states = ["suppressed"] * len(states)
        return [Recipient(owner.user_id, state) for owner, state in zip(owners, states, strict=True)]

    async def _pass_on(self, session: AsyncSession, waiting: Sequence[Announcement]) -> list[str]:
        """Find or add what rings next for faults that nobody acknowledged; returns the notifications' ids."""
        asked = Tally(each.subject for each in waiting)
        following = await ring_order.next_owners(session, asked)
        found = Tally(following.values())
        for_operators = [each for about, each in _newest(waiting).items() if found[about] < asked[about]]
        recipients = [Recipient(user, "pending") for user in await ring_order.operators(session)]
        if for_operators and not recipients:
            UNANSWERED.inc(len(for_operators))
            log.warning("no operator has a phone", faults=[each.subject for each in for_operators])
        told = await faults.add_notifications(session, for_operators, [recipients for _ in for_operators])
        return [*following, *told]


def _newest(passed_on: Sequence[Announcement]) -> dict[str, Announcement]:
    """Return what each fault was passed on with last."""
    return {each.subject: each for each in sorted(passed_on, key=lambda each: each.escalation)}


def _divide(announcements: Sequence[Announcement]) -> list[list[int]]:
    """Divide into branches, or a branch into faults, or a fault into what tells of it; returns indices."""
    for kind in (attrgetter("branch_id"), attrgetter("subject")):
        by_kind: dict[str, list[int]] = {}
        for index, each in enumerate(announcements):
            by_kind.setdefault(kind(each), []).append(index)
        if len(by_kind) > 1:
            return list(by_kind.values())
    return [[index] for index in range(len(announcements))]


def announcement_of(
    fault: EquipmentFault, event_id: str, zone: ZoneInfo, *, silent: bool = False
) -> Announcement:
    """Return a fault's texts and the data that an app needs to open the right page."""
    data = {
        "fault_id": fault.fault_id,
        "equipment_id": fault.equipment_id,
        "equipment_kind": fault.kind,
        "cause": fault.cause,
        "fault_code": fault.fault_code or "",
        "detected_at": fault.detected_at.isoformat().replace("+00:00", "Z"),
        "count": str(fault.count),
    }
    if fault.received_at is not None:
        data["received_at"] = fault.received_at.isoformat().replace("+00:00", "Z")
    if fault.escalated_at is not None:
        data["escalation"] = str(fault.escalation)
        data["escalated_at"] = fault.escalated_at.isoformat().replace("+00:00", "Z")
    return Announcement(
        kind="equipment_fault",
        subject=subject_of(fault.fault_id),
        event_id=event_id,
        branch_id=fault.branch_id,
        texts=fault_texts(fault, zone),
        data=data,
        escalation=fault.escalation,
        silent=silent,
        traceparent=traceparent(),
    )


def subject_of(fault_id: str) -> str:
    """Return what the notifications of a fault are about."""
    return f"fault:{fault_id}"
