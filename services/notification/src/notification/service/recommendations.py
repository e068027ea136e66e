"""Recommendations: a branch suits a customer, who hears of it once, and of few a day."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import structlog
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from laundry_events import EventMeta, first_time
from laundry_events.errors import NotNow
from laundry_events.events import PreferenceCreated, PreferenceMatch
from laundry_service.database import Database
from laundry_service.outages import is_contention
from notification.model import Delivery, Story
from notification.push import Push, Pusher, Verdict
from notification.repository import deliveries, devices, history
from notification.texts import match_texts

CONSUMER = "notification.preference-created"
POLL_S = 1.0
BATCH = 10
IN_HAND = 50
RETRIES_IN_HAND = 20
"""Phones that do not answer, or are over their quota, hold up no more than so many of the pushes in hand."""
LEASE_SLACK_S = 10.0
FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 600.0

log = structlog.get_logger(__name__)


class Matches:
    """Writes recommendations into histories and queues their pushes, which ``MatchSender`` sends."""

    def __init__(self, database: Database, *, pushes_per_day: int, zone: ZoneInfo) -> None:
        """Take where to store, how many a customer's phone shows a day, and where his day begins."""
        self._database = database
        self._pushes_per_day = pushes_per_day
        self._zone = zone

    async def handle(self, preference: PreferenceCreated, meta: EventMeta) -> None:
        """Store one notification for each matched customer who does not have it yet.

        Raises:
            NotNow: somebody holds a row of one of them; nothing was stored.
        """
        try:
            async with self._database.transaction() as session:
                if not await first_time(session, CONSUMER, meta.id):
                    return
                told: dict[str, str] = {}
                for group in _same_reasons(preference.matches):
                    story = _story(preference, group[0].reasons, meta.id)
                    told |= await history.tell(session, story, {match.customer_id for match in group})
                await self._put_on_their_way(session, told)
        except DBAPIError as error:
            if is_contention(error):
                raise NotNow("a row that this recommendation needs is held by somebody else") from error
            raise

    async def _put_on_their_way(self, session: AsyncSession, told: dict[str, str]) -> None:
        reachable = await devices.customers_with_device(session, told)
        today = datetime.now(self._zone).date()
        chosen = await deliveries.take_quota(session, reachable, day=today, limit=self._pushes_per_day)
        await deliveries.add_match_deliveries(session, {user: told[user] for user in chosen})
        spared = reachable - chosen
        await history.set_state(session, [told[user] for user in spared], "suppressed")


def _same_reasons(matches: list[PreferenceMatch]) -> list[list[PreferenceMatch]]:
    """Group matches whose text will be the same: one statement writes each group."""
    groups: dict[tuple[str, ...], list[PreferenceMatch]] = {}
    for match in matches:
        groups.setdefault(tuple(match.reasons[:3]), []).append(match)
    return list(groups.values())


def _story(preference: PreferenceCreated, reasons: list[str], event_id: str) -> Story:
    return Story(
        kind="branch_match",
        about=f"preference:{preference.preference_id}",
        event_id=event_id,
        branch_id=preference.branch_id,
        texts=match_texts(
            branch_id=preference.branch_id,
            title=preference.title,
            text=preference.text,
            reasons=reasons,
        ),
        data={"preference_id": preference.preference_id, "reasons": ",".join(reasons[:3])},
    )


class MatchSender:
    """Sends the pushes of recommendations at a steady rate.

    They wait in the database and not in the handler: a flood of them fills a table, survives a restart and
    an FCM outage, and is shared by the replicas.
    """

    def __init__(
        self, database: Database, pusher: Pusher, *, per_second: float, attempts: int, attempt_s: float
    ) -> None:
        """Take how to push, how fast, and how often to try."""
        self._database = database
        self._pusher = pusher
        self._spacing_s = 1 / per_second
        self._attempts = attempts
        self._lease = timedelta(seconds=2 * BATCH * self._spacing_s + attempt_s + LEASE_SLACK_S)
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._in_hand: dict[asyncio.Task[None], Delivery] = {}

    async def start(self) -> None:
        """Begin to send in the background."""
        self._task = asyncio.create_task(self._run(), name="match-sender")

    async def stop(self) -> None:
        """Finish the pushes in hand; what is leased but unsent is taken up when its lease ends."""
        self._stopping.set()
        self._wake.set()
        if self._task is not None:
            await self._task

    def wake(self) -> None:
        """Look for pushes now."""
        self._wake.set()

    async def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                sent = await self._batch()
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                log.warning("recommendations wait for the database", error=str(error)[:200])
                sent = 0
            except Exception:
                # A sender that ended would leave every later recommendation unsent with nobody the wiser.
                log.exception("sending recommendations failed")
                sent = 0
            if sent == 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S):
                        await self._wake.wait()
        if self._in_hand:
            await asyncio.wait(self._in_hand)

    async def _batch(self) -> int:
        retrying = sum(delivery.attempts > 0 for delivery in self._in_hand.values())
        room = min(BATCH, IN_HAND - len(self._in_hand))
        if room <= 0:
            return 0
        async with self._database.transaction() as session:
            leased = await deliveries.lease_match_deliveries(
                session,
                first_tries=room,
                retries=min(room, RETRIES_IN_HAND - retrying),
                lease=self._lease,
            )
        for delivery in leased:
            if self._stopping.is_set():
                break
            task = asyncio.create_task(self._send(delivery))
            self._in_hand[task] = delivery
            task.add_done_callback(self._sent)
            await asyncio.sleep(self._spacing_s)
        return len(leased)

    def _sent(self, task: asyncio.Task[None]) -> None:
        del self._in_hand[task]
        self._wake.set()
        error = None if task.cancelled() else task.exception()
        if error is not None:
            # Its lease runs out, and it is tried again.
            log.warning("a recommendation was not noted", error=f"{type(error).__name__}: {error}"[:200])

    async def _send(self, delivery: Delivery) -> None:
        started = datetime.now(UTC)
        answer = await self._pusher.push(
            Push(
                notification_id=delivery.notification_id,
                token=delivery.token,
                text=delivery.texts[delivery.language],
                data=delivery.push_data,
                tag=delivery.event_id,
                urgent=False,
            )
        )
        async with self._database.transaction() as session:
            match answer.verdict:
                case Verdict.SENT:
                    await deliveries.mark(session, delivery, "sent")
                case Verdict.GONE:
                    await deliveries.mark_gone(session, delivery, error=answer.error, sent_after=started)
                case Verdict.REFUSED:
                    await deliveries.mark(session, delivery, "refused", error=answer.error)
                case Verdict.LATER if delivery.attempts + 1 >= self._attempts:
                    await deliveries.mark(session, delivery, "failed", error=answer.error)
                    log.warning("a recommendation was given up", error=answer.error)
                case Verdict.LATER:
                    pause_s = later(delivery.attempts, answer.retry_after_s)
                    await deliveries.mark(
                        session, delivery, "pending", error=answer.error, again_in=timedelta(seconds=pause_s)
                    )


def later(attempts: int, retry_after_s: float | None) -> float:
    """Return the seconds until the next try: 2, 4, 8, ... at most 600, or as long as FCM asks."""
    backoff = min(FIRST_PAUSE_S * 2.0 ** min(attempts, 20), LONGEST_PAUSE_S)
    return max(backoff, min(retry_after_s or 0.0, LONGEST_PAUSE_S))
