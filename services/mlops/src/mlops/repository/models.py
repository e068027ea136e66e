"""Queries of models and promotions."""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from pydantic import TypeAdapter
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from laundry_events import new_id
from laundry_learning.lineage import first_version_of
from laundry_reading.manifest import Manifest
from mlops.models import Judgement, PendingPromotion, Promotion, PromotionKind, RegisteredModel, Source
from mlops.repository.rows import read_all, read_first
from mlops.tables import models, promotions

PROMOTION_LOCK = 0x1A0D30
MODEL = TypeAdapter(RegisteredModel)
PROMOTION = TypeAdapter(Promotion)
PENDING = TypeAdapter(PendingPromotion)

OLDEST_FIRST = (promotions.c.place.asc().nulls_first(), promotions.c.id.asc())
NEWEST_FIRST = (promotions.c.place.desc().nulls_last(), promotions.c.id.desc())
"""By the database's own count, which goes up under the lock of promotions. Ids are made by the clocks of
those who promote; they order the promotions from before there was a count.
"""


async def lock_promotions(session: AsyncSession) -> None:
    """Serialise promotions and announcements until the transaction ends."""
    await session.execute(sa.select(sa.func.pg_advisory_xact_lock(PROMOTION_LOCK)))


async def add_model(
    session: AsyncSession,
    manifest: Manifest,
    *,
    source: Source,
    run_id: str | None = None,
    verdict: Judgement | None = None,
) -> bool:
    """Add a model with what judging it found; false if its version is known already."""
    added = await session.execute(
        insert(models)
        .values(
            id=new_id(),
            version=manifest.version,
            sha256=manifest.sha256,
            manifest=manifest.model_dump(mode="json"),
            source=source,
            run_id=run_id,
            verdict=None if verdict is None else verdict.model_dump(mode="json"),
            made_at=manifest.created_at,
        )
        .on_conflict_do_nothing(index_elements=["version"])
        .returning(models.c.id)
    )
    return added.first() is not None


async def get_model(session: AsyncSession, version: str) -> RegisteredModel | None:
    """Find a model by its version."""
    return read_first(MODEL, await session.execute(sa.select(models).where(models.c.version == version)))


async def get_champion(session: AsyncSession) -> RegisteredModel | None:
    """Find the model that serves, None before any is registered."""
    return read_first(MODEL, await session.execute(sa.select(models).where(models.c.champion)))


async def get_root(session: AsyncSession) -> RegisteredModel | None:
    """Find the trained model that the champion descends from by refits, or is."""
    champion = await get_champion(session)
    if champion is None:
        return None
    first = first_version_of(champion.manifest)
    return (await get_model(session, first) if first else None) or champion


async def list_models(session: AsyncSession, *, limit: int, before: str | None) -> list[RegisteredModel]:
    """List models, newest first."""
    query = sa.select(models).order_by(models.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(models.c.id < before)
    return read_all(MODEL, (await session.execute(query)).mappings())


async def refresh_manifest(session: AsyncSession, manifest: Manifest) -> None:
    """Store an extended manifest of the same file."""
    await session.execute(
        sa.update(models)
        .where(models.c.version == manifest.version, models.c.sha256 == manifest.sha256)
        .values(manifest=manifest.model_dump(mode="json"))
    )


async def served_before(session: AsyncSession, version: str) -> bool:
    """Whether a model was champion before without an override."""
    query = sa.select(sa.literal(1)).where(
        promotions.c.version == version, promotions.c.override_reason.is_(None)
    )
    return (await session.execute(query.limit(1))).first() is not None


async def former_champion(session: AsyncSession) -> RegisteredModel | None:
    """Find the model that was champion before the present one, past any that was taken back since.

    One promoted against its verdict is skipped.
    """
    columns = promotions.c
    newest = (
        sa.select(columns.version, columns.kind, columns.override_reason).order_by(*NEWEST_FIRST).limit(1000)
    )
    champion = await get_champion(session)
    trail: list[str] = []
    for row in reversed((await session.execute(newest)).all()):
        if row.kind == "rollback":
            while trail and trail[-1] != row.version:
                trail.pop()
        elif row.override_reason is None and row.version not in trail[-1:]:
            trail.append(row.version)
    back = [version for version in trail if champion is None or version != champion.version]
    return await get_model(session, back[-1]) if back else None


async def list_promotions(session: AsyncSession, *, limit: int) -> list[Promotion]:
    """List promotions, newest first."""
    query = sa.select(promotions).order_by(*NEWEST_FIRST).limit(limit)
    return read_all(PROMOTION, (await session.execute(query)).mappings())


async def make_champion(
    session: AsyncSession,
    version: str,
    *,
    kind: PromotionKind,
    promoted_by: str,
    promoted_at: datetime,
    override_reason: str | None = None,
) -> str:
    """Make a model the champion and note that it is to be announced; returns the promotion's id."""
    former = await get_champion(session)
    await session.execute(sa.update(models).where(models.c.champion).values(champion=False))
    await session.execute(sa.update(models).where(models.c.version == version).values(champion=True))
    promotion_id = new_id()
    await session.execute(
        sa.insert(promotions).values(
            id=promotion_id,
            version=version,
            previous_version=former.version if former is not None else None,
            kind=kind,
            promoted_by=promoted_by,
            promoted_at=promoted_at,
            override_reason=override_reason,
        )
    )
    return promotion_id


async def pending_promotions(session: AsyncSession) -> list[PendingPromotion]:
    """List promotions that are not announced yet, oldest first."""
    query = (
        sa.select(promotions, models.c.sha256)
        .join(models, models.c.version == promotions.c.version)
        .where(promotions.c.announced_at.is_(None))
        .order_by(*OLDEST_FIRST)
    )
    return read_all(PENDING, (await session.execute(query)).mappings())


async def mark_announced(session: AsyncSession, promotion_ids: Sequence[str]) -> None:
    """Note that promotions are announced."""
    await session.execute(
        sa.update(promotions).where(promotions.c.id.in_(promotion_ids)).values(announced_at=sa.func.now())
    )


async def announce_again(session: AsyncSession) -> None:
    """Mark the newest promotion for another announcement."""
    newest = sa.select(promotions.c.id).order_by(*NEWEST_FIRST).limit(1).scalar_subquery()
    await session.execute(sa.update(promotions).where(promotions.c.id == newest).values(announced_at=None))
