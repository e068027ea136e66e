"""An owner states what the branch is like; matching customers are found and announced in one transaction."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import structlog
from prometheus_client import Counter, Histogram
from sqlalchemy.ext.asyncio import AsyncSession

from laundry_events import Outbox
from laundry_events.events import PreferenceCreated, PreferenceMatch, PreferenceWithdrawn
from laundry_service.storage.database import Database
from search import repository
from search.preferences import KeyReused, MatchingTooSlow, NewPreference, Preference, says_the_same
from search.splitting import plan_parts, room_for_matches, size_of

MANY_PARTS = 999_999
TRIES = 3
"""How often a key is claimed: the preference that had it may be withdrawn before it is looked up."""

MATCHING_SECONDS = Histogram(
    "laundry_matching_seconds",
    "Time to match one preference against all customers and to split the audience",
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
MATCHED = Counter("laundry_customers_matched", "Customers matched with a branch's preference")

log = structlog.get_logger(__name__)


class Preferences:
    """Stores a preference, its matches and its events in one transaction."""

    def __init__(self, database: Database, outbox: Outbox, *, threshold: float, timeout_s: float) -> None:
        """Match from score ``threshold`` on."""
        self._database = database
        self._outbox = outbox
        self._threshold = threshold
        self._timeout_s = timeout_s

    async def state(self, new: NewPreference) -> tuple[Preference, bool]:
        """Store, match and announce. Without a match, nothing is announced.

        Returns:
            the preference, and whether it is new (not so with an idempotency key that was used before).

        Raises:
            KeyReused: the key was used for something else that this owner said of the branch.
            MatchingTooSlow: nothing was kept.
            TooLargeForAMessage: a customer's id is too long to be told of; nothing was kept.
        """
        with MATCHING_SECONDS.time():
            async with self._database.transaction() as session:
                known = await self._stored(session, new)
                if known is not None:
                    if not says_the_same(known, new):
                        raise KeyReused
                    return known, False
                # Not the commit: one without an answer may have been made.
                try:
                    async with asyncio.timeout(self._timeout_s):
                        count = await repository.match_customers(session, new.id, threshold=self._threshold)
                        parts = await self._announce(session, new) if count else 0
                except TimeoutError as error:
                    raise MatchingTooSlow from error
                stored = await repository.preference(session, new.branch_id, new.id)
        assert stored is not None
        MATCHED.inc(count)
        log.info("preference stated", branch=new.branch_id, preference=new.id, matched=count, parts=parts)
        return stored, True

    @staticmethod
    async def _stored(session: AsyncSession, new: NewPreference) -> Preference | None:
        """Store a preference; returns the one that its idempotency key has stated before."""
        for _ in range(TRIES):
            if await repository.store_preference(session, new):
                return None
            known = await repository.preference_by_key(
                session, new.branch_id, new.created_by, str(new.idempotency_key)
            )
            if known is not None:
                return known
        # Answered as any trouble of the database: sending it again helps.
        raise ConnectionError("a key's preference was withdrawn as often as it was looked up")

    async def withdraw(self, branch_id: str, preference_id: str | None = None) -> int:
        """Take back one preference of a branch, or all of a branch that closes; returns how many.

        It suits nobody any more, and whoever has not been told of it is not.
        """
        async with self._database.transaction() as session:
            gone = await repository.withdraw_preferences(session, branch_id, preference_id)
            now = datetime.now(UTC)
            for each in gone:
                event = PreferenceWithdrawn(preference_id=each, branch_id=branch_id, withdrawn_at=now)
                await self._outbox.add(session, event)
        log.info("preferences withdrawn", branch=branch_id, number=len(gone))
        return len(gone)

    async def _announce(self, session: AsyncSession, new: NewPreference) -> int:
        """Add the events to the outbox: the first pass counts the parts, the second fills them."""
        empty = PreferenceCreated(
            preference_id=new.id,
            branch_id=new.branch_id,
            title=new.title,
            text=new.text,
            tags=new.tags,
            matches=[],
            part=MANY_PARTS,
            parts=MANY_PARTS,
            created_at=datetime.now(UTC),
        )
        room = room_for_matches(empty, source=f"/{self._outbox.source}")
        sizes = [size_of(match) async for match in repository.stream_matches(session, new.id)]
        counts = plan_parts(sizes, room)
        filled = repository.stream_matches(session, new.id)
        for number, count in enumerate(counts, start=1):
            part = {"part": number, "parts": len(counts), "matches": await _take(filled, count)}
            await self._outbox.add(session, empty.model_copy(update=part))
        return len(counts)


async def _take(matches: AsyncIterator[PreferenceMatch], count: int) -> list[PreferenceMatch]:
    taken: list[PreferenceMatch] = []
    while len(taken) < count:
        taken.append(await anext(matches))
    return taken
