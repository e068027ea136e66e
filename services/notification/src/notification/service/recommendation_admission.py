"""Whether a recommendation is told now, in the morning, or not at all: asked before every try."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncSession

from notification.consent import Consent
from notification.customer_rules import Never, Situation, TellingPolicy, Wait, decide, decide_again
from notification.model import Delivery
from notification.push import CALM_TTL
from notification.repository import alert_queue, consents, matches

DECISIONS = Counter(
    "laundry_match_decisions", "What was decided of recommendations before a push", ["decision"]
)


@dataclass(frozen=True)
class Admitted:
    """A recommendation that is pushed now.

    Attributes:
        ttl: the phone shows it within this time or not at all: it must not wake up to it at night.
        stop_key: ends the customer's consent by one tap.
    """

    ttl: timedelta
    stop_key: str


class RecommendationAdmission:
    """Decides by the database's clock; the customer's consent is held meanwhile, so that replicas agree."""

    def __init__(self, policy: TellingPolicy, zone: ZoneInfo) -> None:
        """Keep to the policy, on the clock of ``zone`` for customers who named none."""
        self._policy = policy
        self._zone = zone

    async def admit(self, session: AsyncSession, delivery: Delivery) -> Admitted | None:
        """Decide, and write down what was decided; ``None``: it is not pushed now."""
        consent = await consents.lock(session, delivery.user_id)
        candidate = await matches.candidate(session, delivery.notification_id)
        if candidate is None:
            return None
        now = await alert_queue.now(session)
        zone, policy = self._rules_of(consent)
        situation = Situation(consent is not None and consent.given, candidate.stands, now, zone, policy)
        if candidate.admitted_at is None:
            decision = decide(candidate.content, situation, await matches.told(session, delivery.user_id))
        else:
            decision = decide_again(situation)
        match decision:
            case Never(why):
                DECISIONS.labels(why).inc()
                await matches.suppress(session, [delivery.notification_id])
                return None
            case Wait(until):
                DECISIONS.labels("night").inc()
                await matches.defer(session, delivery.notification_id, until)
                return None
        if consent is None:
            return None
        if candidate.admitted_at is None:
            DECISIONS.labels("told").inc()
            await matches.admit(session, delivery.notification_id, now)
        return Admitted(_ttl(decision.until, now), consent.stop_key)

    def _rules_of(self, consent: Consent | None) -> tuple[ZoneInfo, TellingPolicy]:
        if consent is None:
            return self._zone, self._policy
        policy = self._policy.at_most(consent.per_week)
        try:
            return (ZoneInfo(consent.time_zone) if consent.time_zone else self._zone), policy
        except ZoneInfoNotFoundError:
            # Zones are renamed now and then.
            return self._zone, policy


def _ttl(until: datetime | None, now: datetime) -> timedelta:
    return CALM_TTL if until is None else min(CALM_TTL, until - now)
