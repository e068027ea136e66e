"""Pushes the faults that wait in the database: branches in turn, one alert for each phone and branch.

The alert's row is leased, the push is made, then both are marked. A process that dies leaves its leases to
run out; what it had pushed and not marked is pushed again with the same tag, which the phone shows once.
"""

import asyncio
import contextlib
import time
from collections import Counter as Tally
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import structlog
from prometheus_client import Counter, Gauge, Histogram
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from laundry_service.database import Database
from notification.alert_grouping import Burst, Told, burst_of, rings, shown, summary
from notification.fault_texts import burst_texts
from notification.fcm_outage import Outage
from notification.push import URGENT_TTL, Answer, Push, Pusher, Verdict, next_pause
from notification.push_scheduling import Waiting, in_turn
from notification.repository import alerts

POLL_S = 1.0
CROWDED_S = 0.25
LEASE_SLACK_S = 2.0
AGAIN_S = 1.0
CONNECTIONS = 5
RETRIES_SHARE = 2

FAULT_SECONDS = Histogram(
    "laundry_fault_push_seconds",
    "From a fault's detection until FCM took its push, for each device",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 15, 30, 60, 300, 3600),
)
EXPIRED = Counter("laundry_faults_expired", "Faults that were too old to ring a phone")
FOLDED = Counter("laundry_faults_folded", "Faults that a phone was told in an alert of several")
WAITING = Gauge("laundry_faults_waiting", "Faults that wait for a phone to be told")
OLDEST = Gauge("laundry_faults_waiting_oldest_seconds", "How long the oldest of them has waited")
TROUBLE = (SQLAlchemyError, OSError, TimeoutError)

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Prepared:
    """A push and what it tells.

    Attributes:
        told: the faults that the phone has not been told of before.
        of: how many faults the alert counts.
    """

    push: Push
    burst: Burst
    told: list[Told]
    of: int
    owner: str
    failures: int


class FaultSender:
    """Several replicas share the work; each phone has one push in hand at a time."""

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
        """Take how to push, how long that may take, and how many at once, in all and of one branch."""
        self._database = database
        self._pusher = pusher
        self._lease = timedelta(seconds=attempt_s + LEASE_SLACK_S)
        self._at_once = at_once
        self._retries = max(1, at_once // RETRIES_SHARE)
        self._per_branch = per_branch
        self._zone = zone
        self._outage = Outage(time.monotonic)
        self._in_hand: dict[asyncio.Task[None], Waiting] = {}
        # The rest of the pool is for storing faults.
        self._connections = asyncio.Semaphore(CONNECTIONS)
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to send in the background."""
        self._task = asyncio.create_task(self._run(), name="fault-sender")

    async def stop(self) -> None:
        """Finish the pushes in hand; what is leased but unsent is taken up when its lease ends."""
        self._stopping.set()
        self._wake.set()
        if self._task is not None:
            await self._task

    def wake(self) -> None:
        """Look for faults now."""
        self._wake.set()

    async def measure(self) -> None:
        """Count what waits, for the metrics."""
        async with self._connections, self._database.session() as session:
            number, oldest_s = await alerts.waiting(session)
        WAITING.set(number)
        OLDEST.set(oldest_s)

    async def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                pause_s = await self._turn()
            except TROUBLE as error:
                log.warning("faults wait for the database", error=str(error)[:200])
                pause_s = POLL_S
            except Exception:
                # A sender that ended would leave every later fault unsent with nobody the wiser.
                log.exception("sending faults failed")
                pause_s = POLL_S
            if pause_s > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await self._wake.wait()
        if self._in_hand:
            await asyncio.wait(self._in_hand)

    async def _turn(self) -> float:
        """Begin what may be pushed now; returns the seconds until it is worth looking again."""
        retrying = sum(each.failures > 0 for each in self._in_hand.values())
        busy = {each.token for each in self._in_hand.values()}
        first_tries, retries = self._outage.room(
            first_tries=self._at_once - self._retries - (len(self._in_hand) - retrying),
            retries=self._retries - retrying,
            in_hand=len(self._in_hand),
        )
        async with self._connections, self._database.transaction() as session:
            waiting = await alerts.due(session, busy=busy, per_branch=self._per_branch)
            chosen = in_turn(
                waiting,
                busy_phones=busy,
                busy_branches=Tally(each.branch_id for each in self._in_hand.values()),
                first_tries=first_tries,
                retries=retries,
                per_branch=self._per_branch,
            )
            leased = await alerts.lease(session, chosen, self._lease) if chosen else []
            next_s = None if waiting else await alerts.next_due_in(session, busy=busy)
        for each in leased:
            if each.failures:
                self._outage.tries()
            task = asyncio.create_task(self._serve(each))
            self._in_hand[task] = each
            task.add_done_callback(self._served)
        if waiting:
            return 0.0 if len(leased) == len(chosen) > 0 else CROWDED_S
        return POLL_S if next_s is None else min(max(next_s, 0.0), POLL_S)

    def _served(self, task: asyncio.Task[None]) -> None:
        del self._in_hand[task]
        self._wake.set()
        error = None if task.cancelled() else task.exception()
        if isinstance(error, TROUBLE):
            log.warning("a fault's push waits for the database", error=str(error)[:200])
        elif error is not None:
            log.error("a fault's push failed", exc_info=error)

    async def _serve(self, alert: Waiting) -> None:
        async with self._connections:
            prepared = await self._prepare(alert)
        if prepared is None:
            return
        started = datetime.now(UTC)
        answer = await self._pusher.push(prepared.push)
        if answer.verdict is Verdict.LATER:
            self._outage.failed(prepared.owner, alert.branch_id)
        elif self._outage.answered():
            await self._note(alerts.try_all_again)
        await self._note(lambda session: self._end(session, alert, prepared, answer, started))
        if answer.verdict is Verdict.SENT:
            now = datetime.now(UTC)
            for fault in prepared.told:
                FAULT_SECONDS.observe((now - fault.since).total_seconds())
            if prepared.of > 1:
                FOLDED.inc(len(prepared.told))

    async def _note(self, write: alerts.Write) -> None:
        """Write down what has happened; it happens again if that is forgotten, so not to give up soon."""
        while True:
            try:
                async with self._connections, self._database.transaction() as session:
                    return await write(session)
            except TROUBLE as error:
                if self._stopping.is_set():
                    raise
                log.warning("a push is not noted yet", error=str(error)[:200])
                await asyncio.sleep(AGAIN_S)

    async def _prepare(self, alert: Waiting) -> Prepared | None:
        """Put together what the phone is told; ``None`` if there is nothing to tell it."""
        async with self._database.transaction() as session:
            opened = await alerts.open_alert(session, alert)
            if opened is None:
                return None
            faults = await alerts.faults_of(session, alert, opened.burst)
            waiting = [fault for fault in faults if fault.waiting]
            old = [fault.notification_id for fault in waiting if opened.now - fault.since > URGENT_TTL]
            if old:
                EXPIRED.inc(len(old))
                await alerts.settled(session, alert, old, "expired")
            told = [fault for fault in waiting if fault.notification_id not in set(old)]
            if not told or opened.owner is None or opened.language is None:
                await alerts.at_rest(session, alert)
                await alerts.still_due(session, alert)
                return None
            burst = burst_of(opened.burst, tag=told[0].event_id, now=opened.now)
            counted = told
            if opened.burst is not None and burst.tag == opened.burst.tag:
                counted = [fault for fault in faults if fault.notification_id not in set(old)]
            await alerts.begin(session, alert, burst, [fault.notification_id for fault in told])
            newest = told[-1]
            texts, data = await alerts.words_of(session, newest.notification_id)
        of = summary(counted)
        return Prepared(
            push=Push(
                notification_id=newest.notification_id,
                token=alert.token,
                text=burst_texts(texts, of, alert.branch_id, self._zone)[opened.language],
                data={
                    "kind": "equipment_fault",
                    "event_id": newest.event_id,
                    "branch_id": alert.branch_id,
                    "notification_id": newest.notification_id,
                    **data,
                    "tag": burst.tag,
                    "faults": str(of.faults),
                    "machines": str(of.machines),
                    "equipment_ids": of.listed,
                },
                tag=burst.tag,
                urgent=True,
                rings=rings(burst, opened.now, of_branch=opened.rang, of_phone=opened.rang_for_any),
            ),
            burst=burst,
            told=told,
            of=of.faults,
            owner=opened.owner,
            failures=opened.failures,
        )

    async def _end(
        self,
        session: AsyncSession,
        alert: Waiting,
        prepared: Prepared,
        answer: Answer,
        started: datetime,
    ) -> None:
        """Note what became of a push."""
        told = [fault.notification_id for fault in prepared.told]
        match answer.verdict:
            case Verdict.SENT:
                now = await alerts.now(session)
                rang_at = now if prepared.push.rings else None
                await alerts.took(session, alert, shown(prepared.burst, now), rang_at=rang_at, now=now)
                await alerts.settled(session, alert, told, "sent")
            case Verdict.GONE:
                await alerts.at_rest(session, alert)
                await alerts.gone(session, alert, sent_after=started)
                await alerts.settled(session, alert, told, "refused", error=answer.error)
                log.info("a dead device was removed", error=answer.error)
            case Verdict.REFUSED:
                await alerts.at_rest(session, alert)
                await alerts.settled(session, alert, told, "refused", error=answer.error)
                log.error("FCM refuses a push", error=answer.error, branch=alert.branch_id)
            case Verdict.LATER:
                pause_s = next_pause(prepared.failures + 1, answer.retry_after_s)
                await alerts.put_off(session, alert, pause=timedelta(seconds=pause_s), error=answer.error)
                return
        await alerts.still_due(session, alert)
