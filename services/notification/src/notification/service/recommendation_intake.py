"""Recommendations come in: each matching customer finds each of them once, and those who agreed are told."""

import hashlib

from sqlalchemy.ext.asyncio import AsyncSession

from laundry_events import EventMeta, claim_once
from laundry_events.events import PreferenceCreated, PreferenceMatch, PreferenceWithdrawn
from laundry_service.storage.database import Database
from laundry_service.telemetry.resuming import traceparent
from notification.model import Announcement
from notification.repository import consents, deliveries, devices, history, overtaken, settled
from notification.service.transactions import effect_of_message
from notification.texts import match_texts

CONSUMER = "notification.preference-created"
WITHDRAWALS = "notification.preference-withdrawn"
REASONS_TOLD = 3


class RecommendationIntake:
    """Stores recommendations and queues their pushes, which ``RecommendationSender`` makes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def handle(self, preference: PreferenceCreated, meta: EventMeta) -> None:
        """Store one notification for each matched customer who does not have it yet.

        What is told again from the history is pushed to nobody. What comes itself later is all the same.

        Raises:
            RequeueMessage: a row of one of them is locked; nothing was stored.
        """
        async with effect_of_message(self._database) as session:
            if not await claim_once(session, CONSUMER, meta.id):
                if meta.replayed or not await overtaken.now_come(session, CONSUMER, [meta.id]):
                    return
                await overtaken.untell(session, [meta.id], [subject_of(preference.preference_id)])
            added: dict[str, str] = {}
            for group in _same_reasons(preference.matches):
                announcement = _announcement(preference, group[0].reasons, meta.id)
                customers = {match.customer_id for match in group}
                added |= await history.add_notifications(session, announcement, customers)
            if meta.replayed:
                await overtaken.note(session, CONSUMER, [meta.id])
                await history.set_states(session, list(added.values()), "suppressed")
            else:
                await self._queue_pushes(session, added)

    async def withdraw(self, preference: PreferenceWithdrawn, meta: EventMeta) -> None:
        """Tell nobody any more who has not been told yet.

        Raises:
            RequeueMessage: a row of one of them is locked; nothing was changed.
        """
        async with effect_of_message(self._database) as session:
            if await claim_once(session, WITHDRAWALS, meta.id):
                await settled.settle(session, subject_of(preference.preference_id))

    async def _queue_pushes(self, session: AsyncSession, added: dict[str, str]) -> None:
        reachable = await devices.customers_with_device(session, added)
        agreeing = await consents.who_agrees(session, reachable)
        await deliveries.add_match_deliveries(session, {added[user] for user in agreeing})
        await history.set_states(session, [added[user] for user in reachable - agreeing], "suppressed")


def _same_reasons(matches: list[PreferenceMatch]) -> list[list[PreferenceMatch]]:
    """Group matches with identical texts: one statement writes each group."""
    groups: dict[tuple[str, ...], list[PreferenceMatch]] = {}
    for match in matches:
        groups.setdefault(tuple(match.reasons[:REASONS_TOLD]), []).append(match)
    return list(groups.values())


def _announcement(preference: PreferenceCreated, reasons: list[str], event_id: str) -> Announcement:
    told = reasons[:REASONS_TOLD]
    return Announcement(
        kind="branch_match",
        subject=subject_of(preference.preference_id),
        event_id=event_id,
        branch_id=preference.branch_id,
        texts=match_texts(
            branch_id=preference.branch_id, title=preference.title, text=preference.text, reasons=told
        ),
        data={"preference_id": preference.preference_id, "reasons": ",".join(told)},
        content=_content(preference),
        traceparent=traceparent(),
    )


def subject_of(preference_id: str) -> str:
    """Return what the notifications of a preference are about."""
    return f"preference:{preference_id}"


def _content(preference: PreferenceCreated) -> str:
    """Return what it says, whatever the reasons: a branch that repeats itself says nothing new."""
    said = (preference.branch_id, preference.title, preference.text)
    words = "\n".join(" ".join(each.casefold().split()) for each in said)
    return hashlib.sha256(words.encode()).hexdigest()
