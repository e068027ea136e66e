"""Faults are stored for the owners of the branch before anything is pushed; ``FaultSender`` pushes them.

What comes at once is stored at once: a thousand faults of one branch are a handful of transactions, so that
the next branch's fault, which stands behind them in the queue, is not late for them.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import groupby
from zoneinfo import ZoneInfo

import structlog
from prometheus_client import Counter

from laundry_events import EventMeta
from laundry_events.errors import MalformedMessage, NotNow
from laundry_events.events import EquipmentFault
from laundry_events.inbox import first_times
from laundry_service.database import Database
from laundry_service.outages import is_contention, is_outage
from notification.fault_texts import fault_texts
from notification.model import Story
from notification.repository import faults as queries
from notification.service.group_commit import GroupCommit

CONSUMER = "notification.equipment-fault"
TOGETHER = 200
APART_S = 30.0
APART_AT_ONCE = 3

UNHEARD = Counter("laundry_faults_unheard", "Faults of a branch that has no known owner")

log = structlog.get_logger(__name__)


class FaultAlerts:
    """Stores faults and what each phone is to be told; wakes the sender after the commit."""

    def __init__(
        self, database: Database, *, zone: ZoneInfo, owner_known: timedelta, wake: Callable[[], None]
    ) -> None:
        """Take where to store, the zone of the times in texts, and what to call when something waits."""
        self._database = database
        self._zone = zone
        self._owner_known = owner_known
        self._wake = wake
        self._commits = GroupCommit(self._commit, at_most=TOGETHER)
        # Branches of which somebody holds a row: theirs are stored apart for a while.
        self._apart: dict[str, float] = {}
        self._apart_slots = asyncio.Semaphore(APART_AT_ONCE)

    async def handle(self, fault: EquipmentFault, meta: EventMeta) -> None:
        """Store a notification for each owner of the branch and a delivery for each of their phones.

        A fault that was stored before is put on its way again to phones that it did not reach.

        Raises:
            MalformedMessage: it has text that cannot be stored.
            NotNow: somebody holds a row that it needs; nothing was stored.
        """
        if any(isinstance(value, str) and "\0" in value for value in fault.model_dump().values()):
            raise MalformedMessage("a text of the fault has the character NUL")
        story = fault_story(fault, meta.id, self._zone)
        apart = self._apart.get(fault.branch_id, 0.0) > time.monotonic()
        await self._commits.add(story, lane=fault.branch_id if apart else "")
        self._wake()

    async def _commit(self, stories: Sequence[Story]) -> Sequence[BaseException | None]:
        if self._apart.get(stories[0].branch_id, 0.0) > time.monotonic():
            async with self._apart_slots:
                return await self._commit_parts(stories)
        return await self._commit_parts(stories)

    async def _commit_parts(self, stories: Sequence[Story]) -> Sequence[BaseException | None]:
        """Store all in one transaction; if it fails for one branch or fault, the others apart from it."""
        try:
            await self._store(stories)
        except Exception as error:
            if is_outage(error):
                raise
            branches = {story.branch_id for story in stories}
            if len(branches) == 1 and is_contention(error):
                return self._held_up(stories, error)
            if len(stories) == 1:
                return [error]
            log.warning("faults are stored apart", error=f"{type(error).__name__}: {error}"[:300])
            by_branch = sorted(range(len(stories)), key=lambda at: stories[at].branch_id)
            groups = [list(group) for _, group in groupby(by_branch, key=lambda at: stories[at].branch_id)]
            if len(groups) == 1:
                groups = [[at] for at in groups[0]]
            return await self._commit_apart(stories, groups)
        return [None] * len(stories)

    async def _commit_apart(
        self, stories: Sequence[Story], groups: Sequence[Sequence[int]]
    ) -> Sequence[BaseException | None]:
        errors: list[BaseException | None] = [None] * len(stories)
        slots = asyncio.Semaphore(APART_AT_ONCE)

        async def commit(group: Sequence[int]) -> None:
            async with slots:
                parts = await self._commit_parts([stories[at] for at in group])
            for at, part in zip(group, parts, strict=True):
                errors[at] = part

        for outcome in await asyncio.gather(*(commit(group) for group in groups), return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome
        return errors

    def _held_up(self, stories: Sequence[Story], error: Exception) -> list[BaseException | None]:
        branch = stories[0].branch_id
        now = time.monotonic()
        self._apart = {each: until for each, until in self._apart.items() if until > now}
        self._apart[branch] = now + APART_S
        log.warning("a branch's faults wait for a row that somebody holds", branch=branch)
        held_up = NotNow(f"a row that faults of {branch} need is held by somebody else")
        held_up.__cause__ = error
        return [held_up] * len(stories)

    async def _store(self, stories: Sequence[Story]) -> None:
        async with self._database.transaction() as session:
            new = await first_times(session, CONSUMER, {story.event_id for story in stories})
            fresh = {story.event_id: story for story in stories if story.event_id in new}
            again = {story.about for story in stories if story.event_id not in new}
            if fresh:
                branches = {story.branch_id for story in fresh.values()}
                owners = await queries.owners_of(session, branches, seen_within=self._owner_known)
                told = await queries.tell_faults(session, list(fresh.values()), owners)
                await queries.ring(session, told)
            if again:
                await queries.ring_missing(session, again)
        for story in fresh.values():
            if not owners[story.branch_id]:
                UNHEARD.inc()
                log.warning("a fault has nobody to tell", branch=story.branch_id, fault=story.about)


def fault_story(fault: EquipmentFault, event_id: str, zone: ZoneInfo) -> Story:
    """Put a fault into words and into what an app needs to open the right page."""
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
    return Story(
        kind="equipment_fault",
        about=f"fault:{fault.fault_id}",
        event_id=event_id,
        branch_id=fault.branch_id,
        texts=fault_texts(fault, zone),
        data=data,
    )
