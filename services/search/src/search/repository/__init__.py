"""Every query of the search service. Each function works in its caller's transaction."""

from collections.abc import AsyncIterator, Collection
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, aggregate_order_by, distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncSession

from laundry_events.events import PreferenceMatch
from laundry_service.storage.slices import slice_of
from search.matching import MAX_REASONS
from search.preferences import NewPreference, Preference, SuitableBranch, Tags, Taste
from search.tables import customer_tags, customers, matches, preference_tags, preferences

STREAMED_ROWS = 1_000


async def store_taste(session: AsyncSession, customer_id: str, tags: Tags) -> datetime:
    """Store a customer's taste, replacing any earlier one; returns the time."""
    values = {"total": sum(tags.values()), "updated_at": sa.func.now()}
    stored = await session.execute(
        insert(customers)
        .values(id=customer_id, **values)
        .on_conflict_do_update(index_elements=[customers.c.id], set_=values)
        .returning(customers.c.updated_at)
    )
    at: datetime = stored.scalar_one()
    await session.execute(sa.delete(customer_tags).where(customer_tags.c.customer_id == customer_id))
    await session.execute(
        sa.insert(customer_tags),
        [{"customer_id": customer_id, "tag": tag, "weight": weight} for tag, weight in tags.items()],
    )
    return at


async def taste_of(session: AsyncSession, customer_id: str) -> Taste | None:
    """Read a customer's taste."""
    at = (
        await session.execute(sa.select(customers.c.updated_at).where(customers.c.id == customer_id))
    ).scalar_one_or_none()
    if at is None:
        return None
    found = await session.execute(
        sa.select(customer_tags.c.tag, customer_tags.c.weight)
        .where(customer_tags.c.customer_id == customer_id)
        .order_by(customer_tags.c.weight.desc(), customer_tags.c.tag)
    )
    return Taste({row.tag: row.weight for row in found}, at)


async def forget_taste(session: AsyncSession, customer_id: str) -> None:
    """Delete a customer's taste and every match that it made."""
    await session.execute(sa.delete(customers).where(customers.c.id == customer_id))
    await session.execute(sa.delete(matches).where(matches.c.customer_id == customer_id))


async def store_preference(session: AsyncSession, new: NewPreference) -> bool:
    """Store a preference; False if its idempotency key was used before."""
    stored = await session.execute(
        insert(preferences)
        .values(
            id=new.id,
            branch_id=new.branch_id,
            title=new.title,
            text=new.text,
            total=sum(new.tags.values()),
            created_by=new.created_by,
            idempotency_key=new.idempotency_key,
        )
        .on_conflict_do_nothing(constraint="preferences_once")
        .returning(preferences.c.id)
    )
    if stored.first() is None:
        return False
    await session.execute(
        sa.insert(preference_tags),
        [{"preference_id": new.id, "tag": tag, "weight": weight} for tag, weight in new.tags.items()],
    )
    return True


async def withdraw_preferences(
    session: AsyncSession, branch_id: str, preference_id: str | None = None
) -> list[str]:
    """Delete one preference of a branch, or all; returns the ids of those that were there."""
    gone = sa.delete(preferences).where(preferences.c.branch_id == branch_id)
    if preference_id is not None:
        gone = gone.where(preferences.c.id == preference_id)
    return list((await session.execute(gone.returning(preferences.c.id))).scalars())


async def match_customers(session: AsyncSession, preference_id: str, *, threshold: float) -> int:
    """Store every customer whom a preference suits, with the score of ``matching.suitability``.

    One statement: only customers who share a tag are looked at, and none passes through this process.

    Returns:
        how many there are.
    """
    common = sa.func.least(customer_tags.c.weight, preference_tags.c.weight)
    score = 2 * sa.func.sum(common) / (customers.c.total + preferences.c.total)
    # The best tags first; equal ones by name, whatever the database's collation.
    best_first = sa.func.array_agg(
        aggregate_order_by(preference_tags.c.tag, common.desc(), preference_tags.c.tag.collate("C")),
        type_=ARRAY(sa.Text),
    )
    suited = (
        sa.select(
            preferences.c.id,
            customers.c.id,
            sa.func.least(1.0, score),
            sa.type_coerce(best_first, ARRAY(sa.Text))[1:MAX_REASONS],
        )
        .select_from(preferences)
        .join(preference_tags, preference_tags.c.preference_id == preferences.c.id)
        .join(customer_tags, customer_tags.c.tag == preference_tags.c.tag)
        .join(customers, customers.c.id == customer_tags.c.customer_id)
        .where(preferences.c.id == preference_id, common > 0)
        .group_by(preferences.c.id, customers.c.id)
        .having(score >= threshold)
    )
    stored = await session.execute(
        sa.insert(matches).from_select(["preference_id", "customer_id", "score", "reasons"], suited)
    )
    count = int(stored.rowcount)  # type: ignore[attr-defined]
    await session.execute(
        sa.update(preferences).where(preferences.c.id == preference_id).values(matched=count)
    )
    return count


async def stream_matches(session: AsyncSession, preference_id: str) -> AsyncIterator[PreferenceMatch]:
    """Read the matches of a preference in a fixed order, a thousand rows in memory at a time."""
    found = await session.stream(
        sa.select(matches.c.customer_id, matches.c.score, matches.c.reasons)
        .where(matches.c.preference_id == preference_id)
        .order_by(matches.c.customer_id)
        .execution_options(yield_per=STREAMED_ROWS)
    )
    async for rows in found.partitions():
        for customer_id, score, reasons in rows:
            # What comes from our own table needs no checking; a hundred thousand checks would take a while.
            yield PreferenceMatch.model_construct(
                customer_id=customer_id, score=round(score, 4), reasons=reasons
            )


def _tags_of(preference: sa.FromClause) -> sa.Label[Any]:
    pairs = sa.func.jsonb_object_agg(preference_tags.c.tag, preference_tags.c.weight, type_=JSONB)
    return (
        sa.select(pairs).where(preference_tags.c.preference_id == preference.c.id).scalar_subquery()
    ).label("tags")


def _preference_columns() -> list[Any]:
    names = ("id", "branch_id", "title", "text", "matched", "created_at")
    return [*(preferences.c[name] for name in names), _tags_of(preferences)]


async def preference(session: AsyncSession, branch_id: str, preference_id: str) -> Preference | None:
    """Read one preference of a branch."""
    found = await session.execute(
        sa.select(*_preference_columns()).where(
            preferences.c.id == preference_id, preferences.c.branch_id == branch_id
        )
    )
    row = found.mappings().first()
    return None if row is None else Preference(**row)


async def preference_by_key(
    session: AsyncSession, branch_id: str, created_by: str, key: str
) -> Preference | None:
    """Read the preference that was stated with an idempotency key."""
    found = await session.execute(
        sa.select(*_preference_columns()).where(
            preferences.c.branch_id == branch_id,
            preferences.c.created_by == created_by,
            preferences.c.idempotency_key == key,
        )
    )
    row = found.mappings().first()
    return None if row is None else Preference(**row)


async def preferences_of(
    session: AsyncSession, branch_id: str, *, before: str | None, limit: int
) -> list[Preference]:
    """Read the preferences of a branch, newest first."""
    query = sa.select(*_preference_columns()).where(preferences.c.branch_id == branch_id)
    if before is not None:
        query = query.where(preferences.c.id < before)
    found = await session.execute(query.order_by(preferences.c.id.desc()).limit(limit))
    return [Preference(**row) for row in found.mappings()]


async def branches_by_tag(session: AsyncSession) -> dict[str, int]:
    """Count the branches that have stated each tag."""
    found = await session.execute(
        sa.select(preference_tags.c.tag, sa.func.count(preferences.c.branch_id.distinct()).label("branches"))
        .join(preferences, preferences.c.id == preference_tags.c.preference_id)
        .group_by(preference_tags.c.tag)
    )
    return {row.tag: row.branches for row in found}


def _scored(threshold: float) -> sa.Select[Any]:
    """Select customers and preferences that suit each other, with their score."""
    common = sa.func.least(customer_tags.c.weight, preference_tags.c.weight)
    exact = sa.func.least(
        1.0, 2 * sa.func.sum(common) / (sa.func.min(customers.c.total) + preferences.c.total)
    )
    return (
        sa.select(
            preferences.c.id,
            preferences.c.branch_id,
            customers.c.id.label("customer_id"),
            # Rounded, so that a cursor names a place exactly.
            sa.func.round(sa.cast(exact, sa.Numeric), 6).label("score"),
        )
        .select_from(customers)
        .join(customer_tags, customer_tags.c.customer_id == customers.c.id)
        .join(preference_tags, preference_tags.c.tag == customer_tags.c.tag)
        .join(preferences, preferences.c.id == preference_tags.c.preference_id)
        .where(common > 0)
        .group_by(preferences.c.id, customers.c.id)
        .having(exact >= threshold)
    )


async def suitable_branches(
    session: AsyncSession,
    customer_id: str,
    *,
    threshold: float,
    after: tuple[float, str] | None,
    limit: int,
) -> list[SuitableBranch]:
    """Find the branches that suit a customer, best first; each by the preference that suits best."""
    scored = _scored(threshold).where(customers.c.id == customer_id)
    candidates = scored.subquery()
    best = (
        sa.select(candidates)
        .ext(distinct_on(candidates.c.branch_id))
        .order_by(candidates.c.branch_id, candidates.c.score.desc(), candidates.c.id.desc())
        .subquery()
    )
    query = sa.select(best.c.score, *_preference_columns()).join(preferences, preferences.c.id == best.c.id)
    if after is not None:
        at = sa.cast(sa.literal(str(after[0])), sa.Numeric)
        query = query.where(
            sa.or_(best.c.score < at, sa.and_(best.c.score == at, best.c.branch_id > after[1]))
        )
    found = await session.execute(query.order_by(best.c.score.desc(), best.c.branch_id).limit(limit))
    result = []
    for row in found.mappings():
        values = dict(row)
        result.append(SuitableBranch(float(values.pop("score")), Preference(**values)))
    return result


async def suited_customers(
    session: AsyncSession, preference_ids: Collection[str], customer_ids: Collection[str], *, threshold: float
) -> list[tuple[str, SuitableBranch]]:
    """Find which of these customers each of these preferences suits."""
    scored = (
        _scored(threshold)
        .where(preferences.c.id.in_(preference_ids), customers.c.id.in_(customer_ids))
        .subquery()
    )
    found = await session.execute(
        sa.select(scored.c.customer_id, scored.c.score, *_preference_columns()).join(
            preferences, preferences.c.id == scored.c.id
        )
    )
    result = []
    for row in found.mappings():
        values = dict(row)
        customer_id = values.pop("customer_id")
        result.append((customer_id, SuitableBranch(float(values.pop("score")), Preference(**values))))
    return result


async def tastes_of(session: AsyncSession, customer_ids: Collection[str]) -> dict[str, Tags]:
    """Read the tastes of several customers."""
    found = await session.execute(
        sa.select(customer_tags.c.customer_id, customer_tags.c.tag, customer_tags.c.weight).where(
            customer_tags.c.customer_id.in_(customer_ids)
        )
    )
    tastes: dict[str, Tags] = {}
    for row in found:
        tastes.setdefault(row.customer_id, {})[row.tag] = row.weight
    return tastes


def forget_matches_of_nobody(newer_than: timedelta) -> sa.Delete:
    """Return the statement that deletes a slice of the matches of who took back a taste while it was matched.

    Args:
        newer_than: the age of the preferences that are looked at.
    """
    new = sa.select(preferences.c.id).where(preferences.c.created_at > sa.func.now() - newer_than)
    known = sa.select(customers.c.id).where(customers.c.id == matches.c.customer_id)
    return slice_of(matches, sa.and_(matches.c.preference_id.in_(new), ~known.exists()))


def forget_matches(older_than: timedelta) -> sa.Delete:
    """Return the statement that deletes a slice of who was matched long ago."""
    old = sa.select(preferences.c.id).where(preferences.c.created_at < sa.func.now() - older_than)
    return slice_of(matches, matches.c.preference_id.in_(old))
