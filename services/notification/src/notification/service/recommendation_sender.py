"""Sends the pushes of recommendations at a steady rate.

They wait in the database, not in the handler: a flood of them fills a table, survives a restart and an outage
of FCM, and is shared by the replicas.
"""

import asyncio
from datetime import UTC, datetime, timedelta

import structlog

from laundry_service.storage.database import Database
from laundry_service.telemetry.resuming import resumed
from notification.model import Delivery
from notification.push import RECOMMENDATION_BACKOFF, Push, Pusher, PushStatus
from notification.repository import deliveries
from notification.service.push_loop import PushLoop
from notification.service.recommendation_admission import RecommendationAdmission

BATCH = 10
IN_FLIGHT = 50
RETRIES_IN_FLIGHT = 20
"""Phones that do not answer, or are over their quota, take up no more of the pushes in flight than this."""
LEASE_SLACK_S = 10.0

log = structlog.get_logger(__name__)


class RecommendationSender(PushLoop[Delivery]):
    """Every replica sends at its own rate."""

    def __init__(
        self,
        database: Database,
        pusher: Pusher,
        admission: RecommendationAdmission,
        *,
        per_second: float,
        attempts: int,
        attempt_s: float,
    ) -> None:
        """Start ``per_second`` pushes, and try each up to ``attempts`` times of ``attempt_s`` at most."""
        super().__init__(
            "match-sender",
            waiting="recommendations wait for the database",
            failed="sending recommendations failed",
            push_waiting="a recommendation was not noted",
            push_failed="a recommendation was not noted",
        )
        self._database = database
        self._pusher = pusher
        self._admission = admission
        self._spacing_s = 1 / per_second
        self._attempts = attempts
        self._lease = timedelta(seconds=2 * BATCH * self._spacing_s + attempt_s + LEASE_SLACK_S)

    async def _turn(self) -> float | None:
        retrying = sum(delivery.attempts > 0 for delivery in self._in_flight.values())
        room = min(BATCH, IN_FLIGHT - len(self._in_flight))
        if room <= 0:
            return None
        async with self._database.transaction() as session:
            leased = await deliveries.lease_match_deliveries(
                session,
                first_tries=room,
                retries=min(room, RETRIES_IN_FLIGHT - retrying),
                lease=self._lease,
            )
        for delivery in leased:
            if self._stopping:
                break
            self._begin(delivery, self._send(delivery))
            await asyncio.sleep(self._spacing_s)
        return 0.0 if leased else None

    async def _send(self, delivery: Delivery) -> None:
        async with self._database.transaction() as session:
            admitted = await self._admission.admit(session, delivery)
        if admitted is None:
            return
        started = datetime.now(UTC)
        push = Push(
            notification_id=delivery.notification_id,
            token=delivery.token,
            text=delivery.texts[delivery.language],
            data={
                **delivery.push_data,
                "stop_key": admitted.stop_key,
                "stop_link": f"/unsubscribe#{admitted.stop_key}",
            },
            tag=delivery.event_id,
            urgent=False,
            ttl=admitted.ttl,
            keys=delivery.keys,
        )
        with resumed("push branch_match", delivery.traceparent):
            result = await self._pusher.push(push)
        error, tries = result.error, delivery.attempts + 1
        async with self._database.transaction() as session:
            match result.status:
                case PushStatus.SENT:
                    await deliveries.record_outcome(session, delivery, "sent")
                case PushStatus.GONE:
                    await deliveries.remove_device(session, delivery, error=error, sent_after=started)
                case PushStatus.REFUSED:
                    await deliveries.record_outcome(session, delivery, "refused", error=error)
                case PushStatus.LATER if tries >= self._attempts:
                    await deliveries.record_outcome(session, delivery, "failed", error=error)
                    log.warning("a recommendation was given up", error=error)
                case PushStatus.LATER:
                    delay_s = RECOMMENDATION_BACKOFF.delay_s(tries, result.retry_after_s)
                    await deliveries.record_outcome(
                        session, delivery, "pending", error=error, retry_in=timedelta(seconds=delay_s)
                    )
