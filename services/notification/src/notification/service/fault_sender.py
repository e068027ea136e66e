"""Pushes the faults stored in the database: branches in turn, one alert per phone and branch.

The alert's row is leased, the push is made, then its outcome is recorded. The leases of a process
that dies expire; what it had pushed but not recorded is pushed again with the same tag, which the phone shows
once.
"""

import asyncio
import time
from collections import Counter as Tally
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import structlog
from prometheus_client import Counter, Gauge, Histogram
from sqlalchemy.ext.asyncio import AsyncSession

from laundry_service.storage.database import Database
from laundry_service.telemetry.resuming import resumed
from notification.alert_grouping import AlertGroup, GroupedFault, GroupSummary, group_for, summarise
from notification.fault_texts import group_texts
from notification.push import (
    FAULT_BACKOFF,
    FCM,
    URGENT_TTL,
    Push,
    Pusher,
    PushResult,
    PushStatus,
)
from notification.push_outage import PushOutages
from notification.push_scheduling import Capacity, DueAlert, choose_fairly
from notification.repository import alert_contents, alert_queue, devices, faults, ring_order, settled
from notification.repository.alert_contents import Content
from notification.service.push_loop import DATABASE_ERRORS, POLL_S, PushLoop

CROWDED_S = 0.25
LEASE_SLACK_S = 2.0
RECORD_AGAIN_S = 1.0
CONNECTIONS = 5
RETRIES_SHARE = 2

FAULT_SECONDS = Histogram(
    "laundry_fault_push_seconds",
    "From a fault's detection until its push was taken, for each device",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 15, 30, 60, 300, 3600),
)
EXPIRED = Counter("laundry_faults_expired", "Faults that were too old to ring a phone")
FOLDED = Counter("laundry_faults_folded", "Faults that a phone was told in an alert of several")
WAITING = Gauge("laundry_faults_waiting", "Faults that wait for a phone to be told")
OLDEST = Gauge("laundry_faults_waiting_oldest_seconds", "How long the oldest of them has waited")

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class PreparedPush:
    """A push and what it tells.

    Attributes:
        told: the faults that are new to the phone.
        total: how many faults the alert counts.
    """

    push: Push
    group: AlertGroup
    told: list[GroupedFault]
    total: int
    owner: str
    failures: int

    @property
    def told_ids(self) -> list[str]:
        """The notifications of the faults that it tells."""
        return [fault.notification_id for fault in self.told]


class FaultSender(PushLoop[DueAlert]):
    """Several replicas share the work; each phone has one push in flight at a time."""

    def __init__(
        self,
        database: Database,
        pusher: Pusher,
        *,
        attempt_s: float,
        at_once: int,
        per_branch: int,
        zone: ZoneInfo,
    ) -> None:
        """Push ``at_once`` at most, ``per_branch`` of one branch; one push takes ``attempt_s`` at most."""
        super().__init__(
            "fault-sender",
            waiting="faults wait for the database",
            failed="sending faults failed",
            push_waiting="a fault's push waits for the database",
            push_failed="a fault's push failed",
        )
        self._database = database
        self._pusher = pusher
        self._lease = timedelta(seconds=attempt_s + LEASE_SLACK_S)
        self._retries = max(1, at_once // RETRIES_SHARE)
        self._first_tries = at_once - self._retries
        self._per_branch = per_branch
        self._zone = zone
        self._outages = PushOutages(time.monotonic)
        # The rest of the pool is for storing faults.
        self._connections = asyncio.Semaphore(CONNECTIONS)

    async def measure(self) -> None:
        """Update the metrics of the backlog."""
        async with self._connections, self._database.session() as session:
            backlog = await alert_queue.backlog(session)
        WAITING.set(backlog.faults)
        OLDEST.set(backlog.oldest_s)

    async def _turn(self) -> float:
        busy = {each.token for each in self._in_flight.values()}
        held_back = self._outages.held_back(Tally(each.service for each in self._in_flight.values()))
        async with self._connections, self._database.transaction() as session:
            due = await alert_queue.due(session, busy=busy, per_branch=self._per_branch, held_back=held_back)
            chosen = choose_fairly(
                due,
                busy_phones=busy,
                busy_branches=Tally(each.branch_id for each in self._in_flight.values()),
                capacity=self._capacity(),
                per_branch=self._per_branch,
                held_back=held_back,
            )
            leased = await alert_queue.lease(session, chosen, self._lease) if chosen else []
            next_s = None if due else await alert_queue.next_due_in(session, busy=busy)
        for alert in leased:
            if alert.failures:
                self._outages.retry_begins(alert.service)
            self._begin(alert, self._send(alert))
        if due or held_back:
            return 0.0 if len(leased) == len(chosen) > 0 else CROWDED_S
        return POLL_S if next_s is None else min(max(next_s, 0.0), POLL_S)

    def _capacity(self) -> Capacity:
        in_flight = len(self._in_flight)
        retrying = sum(each.failures > 0 for each in self._in_flight.values())
        return Capacity(self._first_tries - (in_flight - retrying), self._retries - retrying)

    async def _send(self, alert: DueAlert) -> None:
        async with self._connections, self._database.transaction() as session:
            prepared = await self._prepare(session, alert)
        if prepared is None:
            return
        started = datetime.now(UTC)
        *others, newest = (fault.traceparent for fault in prepared.told)
        with resumed("push equipment_fault", newest, others=others):
            result = await self._pusher.push(prepared.push)
        if result.status is PushStatus.LATER:
            self._outages.failed(alert.service, prepared.owner, alert.branch_id, result.retry_after_s)
        elif self._outages.answered(alert.service):
            await self._record(lambda session: alert_queue.retry_all(session, alert.service))
        await self._record(lambda session: _finish(session, alert, prepared, result, started))
        if result.status is PushStatus.SENT:
            now = datetime.now(UTC)
            for fault in prepared.told:
                FAULT_SECONDS.observe((now - fault.news_at).total_seconds())
            if prepared.total > 1:
                FOLDED.inc(len(prepared.told))

    async def _record(self, write: Callable[[AsyncSession], Awaitable[None]]) -> None:
        """Record an outcome, and persist in it: a push that is not recorded is made again."""
        while True:
            try:
                async with self._connections, self._database.transaction() as session:
                    return await write(session)
            except DATABASE_ERRORS as error:
                if self._stopping:
                    raise
                log.warning("a push is not noted yet", error=str(error)[:200])
                await asyncio.sleep(RECORD_AGAIN_S)

    async def _prepare(self, session: AsyncSession, alert: DueAlert) -> PreparedPush | None:
        """Decide what the phone is told; ``None`` if there is nothing to tell it."""
        locked = await alert_contents.lock_alert(session, alert)
        if locked is None:
            return None
        faults = await alert_contents.faults_of(session, alert, locked.group)
        expired = {
            fault.notification_id
            for fault in faults
            if fault.waiting and locked.now - fault.news_at > URGENT_TTL
        }
        if expired:
            EXPIRED.inc(len(expired))
            await alert_contents.record_outcome(session, alert, expired, "expired")
        faults = [fault for fault in faults if fault.notification_id not in expired]
        told = [fault for fault in faults if fault.waiting]
        if not told or locked.owner is None or locked.language is None:
            await alert_queue.end_lease(session, alert)
            await alert_queue.make_due_again(session, alert)
            return None
        group = group_for(locked.group, tag=told[0].event_id, now=locked.now)
        continues = locked.group is not None and group.tag == locked.group.tag
        counted = faults if continues else told
        await alert_contents.assign_group(session, alert, group, [fault.notification_id for fault in told])
        content = await alert_contents.content_of(session, told[-1].notification_id)
        summary = summarise(counted)
        texts = group_texts(content.texts, summary, alert.branch_id, self._zone)
        return PreparedPush(
            push=Push(
                notification_id=told[-1].notification_id,
                token=alert.token,
                text=texts[locked.language],
                data=_push_data(alert, told[-1], content, group, summary),
                tag=group.tag,
                urgent=True,
                sound=group.makes_sound(locked.now, of_branch=locked.sounds, of_phone=locked.sounds_for_any),
                keys=locked.keys,
            ),
            group=group,
            told=told,
            total=summary.faults,
            owner=locked.owner,
            failures=locked.failures,
        )


def _push_data(
    alert: DueAlert, newest: GroupedFault, content: Content, group: AlertGroup, summary: GroupSummary
) -> dict[str, str]:
    """Return what an app gets besides the text: the newest fault, and the whole alert."""
    return {
        "kind": "equipment_fault",
        "event_id": newest.event_id,
        "branch_id": alert.branch_id,
        "notification_id": newest.notification_id,
        **content.data,
        "link": f"/?fault={content.data.get('fault_id', '')}",
        "tag": group.tag,
        "faults": str(summary.faults),
        "machines": str(summary.machines),
        "equipment_ids": summary.listed,
    }


async def _finish(
    session: AsyncSession, alert: DueAlert, prepared: PreparedPush, result: PushResult, started: datetime
) -> None:
    """Record what became of a push."""
    told, error = prepared.told_ids, result.error
    abouts: set[str] = set()
    if result.status in {PushStatus.GONE, PushStatus.REFUSED}:
        # Others may ring instead, but not for what is settled meanwhile.
        abouts = await ring_order.abouts_of(session, told)
        abouts -= await settled.hold(session, abouts)
    match result.status:
        case PushStatus.SENT:
            now = await alert_queue.now(session)
            group = prepared.group.after_push(now)
            sound_at = now if prepared.push.sound else None
            await alert_contents.record_push(session, alert, group, sound_at=sound_at, now=now)
            await alert_contents.record_outcome(session, alert, told, "sent")
        case PushStatus.GONE:
            # Before its alert: who registers it just now would keep the device and lose the alert.
            await devices.lock_token(session, alert.token)
            await alert_queue.end_lease(session, alert)
            await devices.forget_devices(session, [alert.token], registered_before=started)
            await alert_contents.record_outcome(session, alert, told, "refused", error=error)
            await _ring_instead(session, told, abouts)
            log.info("a dead device was removed", error=error)
        case PushStatus.REFUSED:
            await alert_queue.end_lease(session, alert)
            await alert_contents.record_outcome(session, alert, told, "refused", error=error)
            await _ring_instead(session, told, abouts)
            what = "FCM refuses a push" if alert.service == FCM else "a push service refuses a push"
            log.error(what, error=error, branch=alert.branch_id, service=alert.service)
        case PushStatus.LATER:
            delay_s = FAULT_BACKOFF.delay_s(prepared.failures + 1, result.retry_after_s)
            await alert_queue.back_off(session, alert, pause=timedelta(seconds=delay_s), error=error)
            return
    await alert_queue.make_due_again(session, alert)


async def _ring_instead(session: AsyncSession, told: Collection[str], abouts: Collection[str]) -> None:
    """Let the next owner ring at once for those of ``abouts`` that can reach nobody before him."""
    unreached = (await ring_order.unreached(session, told)).intersection(abouts)
    following = await ring_order.next_owners(session, dict.fromkeys(unreached, 1))
    await faults.queue_pushes(session, following)
    await ring_order.let_ring(session, following)
