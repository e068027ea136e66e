"""Queries of customers' consent. Each works in its caller's transaction."""

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from notification.consent import Consent, ConsentRecord, Via
from notification.tables import consent_records, consents
from notification.texts import Language, Text


async def find(session: AsyncSession, customer_id: str) -> Consent | None:
    """Read what a customer said last; ``None``: never asked."""
    return await _one(session, sa.select(consents).where(consents.c.customer_id == customer_id))


async def find_by_stop_key(session: AsyncSession, stop_key: str) -> Consent | None:
    """Find and lock whose consent a key ends."""
    return await _one(session, sa.select(consents).where(consents.c.stop_key == stop_key).with_for_update())


async def lock(session: AsyncSession, customer_id: str) -> Consent | None:
    """Lock what a customer said last, so that one thing at a time is decided of him."""
    query = sa.select(consents).where(consents.c.customer_id == customer_id).with_for_update()
    return await _one(session, query)


async def _one(session: AsyncSession, query: sa.Select[Any]) -> Consent | None:
    row = (await session.execute(query)).mappings().first()
    return None if row is None else Consent(**row)


async def who_agrees(session: AsyncSession, customers: Collection[str]) -> set[str]:
    """Find which of these customers agree now."""
    found = await session.execute(
        sa.select(consents.c.customer_id).where(consents.c.customer_id.in_(customers), consents.c.given)
    )
    return set(found.scalars())


async def store(
    session: AsyncSession,
    customer_id: str,
    *,
    given: bool,
    text_version: str | None,
    per_week: int,
    time_zone: str | None,
    new_stop_key: str,
) -> Consent:
    """Store what a customer says now. The key of his first word stays his."""
    said = {
        "given": given,
        "text_version": text_version,
        "per_week": per_week,
        "time_zone": time_zone,
        "changed_at": sa.func.clock_timestamp(),
    }
    stored = await session.execute(
        insert(consents)
        .values(customer_id=customer_id, stop_key=new_stop_key, **said)
        .on_conflict_do_update(index_elements=[consents.c.customer_id], set_=said)
        .returning(consents)
    )
    return Consent(**stored.mappings().one())


async def record(
    session: AsyncSession, consent: Consent, *, via: Via, language: Language | None, text: Text | None
) -> None:
    """Add to the record what was said: it is only added to."""
    await session.execute(
        sa.insert(consent_records).values(
            customer_id=consent.customer_id,
            given=consent.given,
            at=consent.changed_at,
            via=via,
            text_version=consent.text_version,
            language=language,
            text=text,
        )
    )


async def records_of(session: AsyncSession, customer_id: str, *, limit: int) -> list[ConsentRecord]:
    """Read what a customer said so far, newest first."""
    names = ("given", "at", "via", "text_version", "language", "text")
    found = await session.execute(
        sa.select(*(consent_records.c[name] for name in names))
        .where(consent_records.c.customer_id == customer_id)
        .order_by(consent_records.c.id.desc())
        .limit(limit)
    )
    return [ConsentRecord(**row) for row in found.mappings()]
