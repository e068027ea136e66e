"""Faults: told to the owners of the branch within 15 s (DD-02 DG-05), on every phone, as one alert."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import structlog
from prometheus_client import Counter, Histogram

from laundry_events import EventMeta, first_time
from laundry_events.events import EquipmentFault
from laundry_events.topology import MAX_ATTEMPTS
from laundry_service.database import Database
from notification.model import Delivery, Story
from notification.push import URGENT_TTL, Answer, Push, Pusher, Verdict, push_within
from notification.repository import deliveries, devices, history
from notification.texts import fault_texts

CONSUMER = "notification.equipment-fault"

FAULT_SECONDS = Histogram(
    "laundry_fault_push_seconds",
    "From a fault's detection until FCM took its push, for each device",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 15, 30, 60),
)
EXPIRED = Counter("laundry_faults_expired", "Faults that came too late to ring a phone")
UNHEARD = Counter("laundry_faults_unheard", "Faults of a branch that has no known owner")

log = structlog.get_logger(__name__)


class PushesMissing(Exception):
    """Some devices were not reached within the budget; the retry ladder has the rest.

    Attributes:
        pushes: names the pushes that are missing.
        none_sent: whether FCM answered for none of the devices.
    """

    def __init__(self, message: str, *, pushes: frozenset[str], none_sent: bool) -> None:
        super().__init__(message)
        self.pushes = pushes
        self.none_sent = none_sent


class FaultAlerts:
    """Tells faults: stored first, then pushed, so that a crash in between repeats and loses nothing."""

    def __init__(
        self,
        database: Database,
        pusher: Pusher,
        *,
        budget_s: float,
        attempt_s: float,
        zone: ZoneInfo,
        owner_known: timedelta,
    ) -> None:
        """Take where to store, how to push, and how long one delivery of the message may retry."""
        self._database = database
        self._pusher = pusher
        self._budget_s = budget_s
        self._attempt_s = attempt_s
        self._zone = zone
        self._owner_known = owner_known

    async def handle(self, fault: EquipmentFault, meta: EventMeta) -> None:
        """Store a notification for each owner, push to each of their devices, note what became of it.

        Raises:
            PushesMissing: not every device was reached; a further delivery of the message tries only those.
        """
        story = _story(fault, meta.id, self._zone)
        async with self._database.transaction() as session:
            if await first_time(session, CONSUMER, meta.id):
                owners = await devices.owners_of(session, fault.branch_id, seen_within=self._owner_known)
                told = await history.tell(session, story, owners)
                await deliveries.add_fault_deliveries(session, fault.branch_id, told)
                if not owners:
                    UNHEARD.inc()
                    log.warning("a fault has nobody to tell", branch=fault.branch_id, fault=fault.fault_id)
        # The same fault delivered twice at once: the second waits here, then finds nothing left to send.
        async with self._database.transaction() as session:
            await deliveries.lock_story(session, story.about)
            waiting = await deliveries.unsent_deliveries(session, story.about)
            if datetime.now(UTC) - fault.detected_at > URGENT_TTL:
                await self._let_rest(waiting)
            elif waiting:
                await self._push(fault, waiting, final=meta.attempt >= MAX_ATTEMPTS)

    async def _let_rest(self, waiting: list[Delivery]) -> None:
        """Ring no phone for what is long past: it is in the history."""
        async with self._database.transaction() as session:
            for delivery in waiting:
                await deliveries.mark(session, delivery, "expired")
        if waiting:
            EXPIRED.inc()

    async def _push(self, fault: EquipmentFault, waiting: list[Delivery], *, final: bool) -> None:
        by_key = {(delivery.notification_id, delivery.token): delivery for delivery in waiting}
        started = datetime.now(UTC)

        async def settle(push: Push, answer: Answer) -> None:
            delivery = by_key[push.notification_id, push.token]
            await self._note(delivery, answer, started=started, final=final)
            if answer.verdict is Verdict.SENT:
                FAULT_SECONDS.observe((datetime.now(UTC) - fault.detected_at).total_seconds())

        answers = await push_within(
            self._pusher,
            [_push_of(delivery) for delivery in waiting],
            budget_s=self._budget_s,
            attempt_s=self._attempt_s,
            settle=settle,
        )
        missing = {
            f"{delivery.notification_id} {delivery.token}": answer.error
            for delivery, answer in zip(waiting, answers, strict=True)
            if answer.verdict is Verdict.LATER
        }
        if missing:
            error = next(iter(missing.values()))
            raise PushesMissing(
                f"{len(missing)} of {len(answers)} devices not reached: {error}",
                pushes=frozenset(missing),
                none_sent=len(missing) == len(answers),
            )

    async def _note(self, delivery: Delivery, answer: Answer, *, started: datetime, final: bool) -> None:
        async with self._database.transaction() as session:
            match answer.verdict:
                case Verdict.SENT:
                    await deliveries.mark(session, delivery, "sent")
                case Verdict.GONE:
                    await deliveries.mark_gone(session, delivery, error=answer.error, sent_after=started)
                    log.info("a dead device was removed", error=answer.error)
                case Verdict.REFUSED:
                    await deliveries.mark(session, delivery, "refused", error=answer.error)
                    log.error("FCM refuses a push", error=answer.error)
                case Verdict.LATER:
                    await deliveries.mark(
                        session, delivery, "failed" if final else "pending", error=answer.error
                    )


def _story(fault: EquipmentFault, event_id: str, zone: ZoneInfo) -> Story:
    data = {
        "fault_id": fault.fault_id,
        "equipment_id": fault.equipment_id,
        "equipment_kind": fault.kind,
        "cause": fault.cause,
        "fault_code": fault.fault_code or "",
        "detected_at": fault.detected_at.isoformat().replace("+00:00", "Z"),
    }
    return Story(
        kind="equipment_fault",
        about=f"fault:{fault.fault_id}",
        event_id=event_id,
        branch_id=fault.branch_id,
        texts=fault_texts(fault, zone),
        data=data,
    )


def _push_of(delivery: Delivery) -> Push:
    return Push(
        notification_id=delivery.notification_id,
        token=delivery.token,
        text=delivery.texts[delivery.language],
        data=delivery.push_data,
        tag=delivery.event_id,
        urgent=True,
    )
