"""Every query of MLOps."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from laundry_events import new_id
from laundry_events.events import TaskConfirmed
from laundry_reading.manifest import Manifest
from mlops.runs import Status, sources_of
from mlops.tables import models, promotions, training_examples, training_runs

PROMOTION_LOCK = 0x1A0D30

Row = sa.RowMapping


async def lock_promotions(session: AsyncSession) -> None:
    """Let one promotion or announcement at a time go on, until the transaction ends."""
    await session.execute(sa.select(sa.func.pg_advisory_xact_lock(PROMOTION_LOCK)))


async def add_model(
    session: AsyncSession, manifest: Manifest, *, source: str, run_id: str | None = None
) -> bool:
    """Add a model; false if its version is known already."""
    added = await session.execute(
        insert(models)
        .values(
            id=new_id(),
            version=manifest.version,
            sha256=manifest.sha256,
            manifest=manifest.model_dump(mode="json"),
            source=source,
            run_id=run_id,
            made_at=manifest.created_at,
        )
        .on_conflict_do_nothing(index_elements=["version"])
        .returning(models.c.id)
    )
    return added.first() is not None


async def get_model(session: AsyncSession, version: str) -> Row | None:
    """Find a model by its version."""
    found = await session.execute(sa.select(models).where(models.c.version == version))
    return found.mappings().first()


async def get_champion(session: AsyncSession) -> Row | None:
    """Find the champion."""
    found = await session.execute(sa.select(models).where(models.c.champion))
    return found.mappings().first()


async def list_models(session: AsyncSession, *, limit: int, before: str | None) -> Sequence[Row]:
    """List models, newest first."""
    query = sa.select(models).order_by(models.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(models.c.id < before)
    return (await session.execute(query)).mappings().all()


async def make_champion(
    session: AsyncSession, version: str, *, promoted_by: str, promoted_at: datetime
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
            previous_version=former["version"] if former is not None else None,
            promoted_by=promoted_by,
            promoted_at=promoted_at,
        )
    )
    return promotion_id


async def pending_promotions(session: AsyncSession) -> Sequence[Row]:
    """List promotions that are not announced yet, oldest first."""
    query = (
        sa.select(promotions, models.c.sha256)
        .join(models, models.c.version == promotions.c.version)
        .where(promotions.c.announced_at.is_(None))
        .order_by(promotions.c.id)
    )
    return (await session.execute(query)).mappings().all()


async def mark_announced(session: AsyncSession, promotion_ids: Sequence[str]) -> None:
    """Note that promotions are announced."""
    await session.execute(
        sa.update(promotions).where(promotions.c.id.in_(promotion_ids)).values(announced_at=sa.func.now())
    )


async def announce_again(session: AsyncSession) -> None:
    """Let the newest promotion be announced once more."""
    newest = sa.select(sa.func.max(promotions.c.id)).scalar_subquery()
    await session.execute(sa.update(promotions).where(promotions.c.id == newest).values(announced_at=None))


async def store_example(session: AsyncSession, event: TaskConfirmed, *, event_id: str) -> None:
    """Store a confirmed task as an example; of two confirmations of one task the newer counts."""
    values = {
        "task_version": event.task_version,
        "event_id": event_id,
        "branch_id": event.branch_id,
        "photo_key": event.photo.key,
        "photo_sha256": event.photo.sha256,
        "photo_bytes": event.photo.bytes,
        "photo_media_type": event.photo.media_type,
        "read_labels": [label.model_dump() for label in event.read_labels],
        "model_version": event.model_version,
        "labels": [label.model_dump() for label in event.labels],
        "corrected": event.corrected,
        "confirmed_by": event.confirmed_by,
        "confirmed_at": event.confirmed_at,
    }
    await session.execute(
        insert(training_examples)
        .values(id=new_id(), task_id=event.task_id, **values)
        .on_conflict_do_update(
            index_elements=["task_id"],
            set_=values,
            where=training_examples.c.task_version < event.task_version,
        )
    )


async def newest_examples(session: AsyncSession, *, limit: int) -> Sequence[Row]:
    """List the newest examples, oldest of them first."""
    columns = training_examples.c
    newest = (
        sa.select(
            columns.id,
            columns.task_id,
            columns.photo_key,
            columns.photo_sha256,
            columns.photo_bytes,
            columns.labels,
        )
        .order_by(columns.id.desc())
        .limit(limit)
    )
    return list(reversed((await session.execute(newest)).mappings().all()))


async def add_run(session: AsyncSession, kind: str, *, requested_by: str) -> Row:
    """Queue a training run."""
    added = await session.execute(
        sa.insert(training_runs)
        .values(id=new_id(), kind=kind, requested_by=requested_by)
        .returning(*training_runs.c)
    )
    return added.mappings().one()


async def get_run(session: AsyncSession, run_id: str) -> Row | None:
    """Find a training run."""
    found = await session.execute(sa.select(training_runs).where(training_runs.c.id == run_id))
    return found.mappings().first()


async def list_runs(session: AsyncSession, *, limit: int, before: str | None) -> Sequence[Row]:
    """List training runs, newest first."""
    query = sa.select(training_runs).order_by(training_runs.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(training_runs.c.id < before)
    return (await session.execute(query)).mappings().all()


async def open_runs(session: AsyncSession, status: Status) -> Sequence[Row]:
    """List the runs of a status, oldest first."""
    query = sa.select(training_runs).where(training_runs.c.status == status).order_by(training_runs.c.id)
    return (await session.execute(query)).mappings().all()


async def move_run(session: AsyncSession, run_id: str, target: Status, **values: Any) -> bool:
    """Let a run become ``target`` with further values; false if it is in no status that may."""
    if target == "running":
        values["started_at"] = sa.func.now()
    else:
        values["finished_at"] = sa.func.now()
    moved = await session.execute(
        sa.update(training_runs)
        .where(training_runs.c.id == run_id, training_runs.c.status.in_(sources_of(target)))
        .values(status=target, **values)
        .returning(training_runs.c.id)
    )
    return moved.first() is not None


async def report_progress(session: AsyncSession, run_id: str, progress: float) -> bool:
    """Note how far a running run is, 0..1; false if it is not running any more."""
    noted = await session.execute(
        sa.update(training_runs)
        .where(training_runs.c.id == run_id, training_runs.c.status == "running")
        .values(progress=min(1.0, max(0.0, progress)))
        .returning(training_runs.c.id)
    )
    return noted.first() is not None
