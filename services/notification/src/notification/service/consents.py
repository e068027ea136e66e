"""Customers agree to be told of branches, or end it."""

import secrets

import structlog
from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncSession

from laundry_service.storage.database import Database
from notification.consent import Consent, ConsentText, UnknownText, Via, consent_text
from notification.customer_rules import TellingPolicy
from notification.repository import consents, matches
from notification.texts import Language

CONSENTS = Counter(
    "laundry_customer_consents", "What customers said to being told of branches", ["said", "via"]
)

log = structlog.get_logger(__name__)


class Consents:
    """One consent for each customer, and the record of all that was said."""

    def __init__(self, database: Database, policy: TellingPolicy) -> None:
        """Ask for consent to being told within the policy's limits."""
        self._database = database
        self._policy = policy
        self.text: ConsentText = consent_text(policy)

    async def give(
        self, customer_id: str, *, text_version: str, time_zone: str | None, language: Language
    ) -> Consent:
        """Record that a customer agrees.

        Raises:
            UnknownText: to other words than those of today.
        """
        if text_version != self.text.version:
            raise UnknownText(text_version)
        async with self._database.transaction() as session:
            before = await consents.lock(session, customer_id)
            consent = await consents.store(
                session,
                customer_id,
                given=True,
                text_version=text_version,
                per_week=self._policy.per_week,
                time_zone=time_zone or (before.time_zone if before else None),
                new_stop_key=secrets.token_urlsafe(18),
            )
            if before is None or not before.given or before.text_version != text_version:
                words = self.text.in_language(language)
                await consents.record(session, consent, via="page", language=language, text=words)
                CONSENTS.labels("yes", "page").inc()
        return consent

    async def withdraw(self, customer_id: str) -> Consent | None:
        """End it; what waits to be told is not told any more. ``None``: the customer was never asked."""
        async with self._database.transaction() as session:
            before = await consents.lock(session, customer_id)
            return before and await self._end(session, before, "page")

    async def stop(self, stop_key: str) -> bool:
        """End it by the key of a push, without signing in; false if there is no such key."""
        async with self._database.transaction() as session:
            before = await consents.find_by_stop_key(session, stop_key)
            return before is not None and await self._end(session, before, "link") is not None

    async def _end(self, session: AsyncSession, before: Consent, via: Via) -> Consent:
        if not before.given:
            return before
        consent = await consents.store(
            session,
            before.customer_id,
            given=False,
            text_version=before.text_version,
            per_week=before.per_week,
            time_zone=before.time_zone,
            new_stop_key=before.stop_key,
        )
        await consents.record(session, consent, via=via, language=None, text=None)
        waiting = await matches.suppress_waiting(session, before.customer_id)
        CONSENTS.labels("no", via).inc()
        log.info("a customer ended recommendations", via=via, waiting=waiting)
        return consent
