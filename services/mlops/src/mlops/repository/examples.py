"""Queries of examples, and of what runs made of them."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

import sqlalchemy as sa
from pydantic import TypeAdapter
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncSession

from laundry_events import new_id
from laundry_events.events import PhotoDeleted, TaskConfirmed
from laundry_learning.curation import Assignment
from laundry_learning.features import PhotoFeatures
from laundry_service.storage.slices import slice_of
from mlops.examples import Example, ExampleUse, LabelCount, side_of
from mlops.repository.rows import read, read_all
from mlops.tables import (
    early_deletions,
    example_branches,
    models,
    photo_features,
    run_examples,
    training_examples,
    training_runs,
)

BRANCH_LOCK = 0x1A0D32
DELETION_LOCK = 0x1A0D34
EARLY_FOR = timedelta(days=30)
"""So long a deletion waits for its confirmation: dead letters live for 7 days, and may be sent back twice."""

EXAMPLE = TypeAdapter(Example)
USE = TypeAdapter(ExampleUse)
COUNT = TypeAdapter(LabelCount)


async def store_examples(session: AsyncSession, confirmed: Mapping[str, TaskConfirmed]) -> None:
    """Store confirmed tasks as examples, given by their events' ids in the order in which they came.

    Of two confirmations of one task the newer counts. A branch's first example assigns its side for good.
    What was to be forgotten before it came is stored as forgotten.
    """
    await session.execute(sa.select(sa.func.pg_advisory_xact_lock_shared(DELETION_LOCK)))
    await _settle_sides(session, dict.fromkeys(event.branch_id for event in confirmed.values()))
    rows = [_example(event, event_id=event_id) for event_id, event in confirmed.items()]
    new = insert(training_examples)
    newer = new.on_conflict_do_update(
        index_elements=["task_id"],
        set_={name: new.excluded[name] for name in rows[0] if name not in ("id", "task_id")},
        where=training_examples.c.task_version < new.excluded.task_version,
    )
    # Executed for each row, in one round trip.
    await session.execute(newer, rows)
    early = sa.delete(early_deletions).where(early_deletions.c.task_id.in_([row["task_id"] for row in rows]))
    for known in (await session.execute(early.returning(early_deletions))).all():
        await _mark_deleted(session, known.task_id, known.photo_deleted_at, retired=known.retired)


def _example(event: TaskConfirmed, *, event_id: str) -> dict[str, object]:
    return {
        "id": new_id(),
        "task_id": event.task_id,
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


async def forget_photo(session: AsyncSession, event: PhotoDeleted) -> None:
    """Note that an example's photo is gone; without its branch's consent what was learnt goes too.

    The row stays in any case: it says what a model was trained on. A photo that another example has, too, was
    sent more than once, and that one's branch decides for itself. A deletion whose confirmation has not come
    yet, as it may be a dead letter, waits for it.
    """
    # Before any row is locked. A confirmation that is being stored would neither see this nor be seen.
    await session.execute(sa.select(sa.func.pg_advisory_xact_lock(DELETION_LOCK)))
    retired = not event.keep_features
    if not await _mark_deleted(session, event.task_id, event.deleted_at, retired=retired):
        note = insert(early_deletions).values(
            task_id=event.task_id, photo_deleted_at=event.deleted_at, retired=retired
        )
        both = early_deletions.c.retired | note.excluded.retired
        await session.execute(note.on_conflict_do_update(index_elements=["task_id"], set_={"retired": both}))
    if event.keep_features:
        return
    columns = training_examples.c
    wanted = sa.exists().where(columns.photo_sha256 == event.photo_sha256, ~columns.retired)
    await session.execute(
        sa.delete(photo_features).where(photo_features.c.photo_sha256 == event.photo_sha256, ~wanted)
    )


async def _mark_deleted(session: AsyncSession, task_id: str, deleted_at: datetime, *, retired: bool) -> bool:
    """Mark a task's example; false if there is none. One that is retired stays so, whatever comes later."""
    columns = training_examples.c
    marked = await session.execute(
        sa.update(training_examples)
        .where(columns.task_id == task_id)
        .values(photo_deleted_at=deleted_at, retired=columns.retired | sa.literal(retired))
        .returning(columns.id)
    )
    return marked.first() is not None


def deletions_past_waiting() -> sa.Delete:
    """Return the statement that deletes a slice of the deletions whose confirmation comes no more."""
    return slice_of(early_deletions, early_deletions.c.created_at < sa.func.now() - EARLY_FOR)


async def _settle_sides(session: AsyncSession, branches: Collection[str]) -> None:
    known = sa.select(example_branches.c.branch_id).where(example_branches.c.branch_id.in_(branches))
    settled = set((await session.execute(known)).scalars())
    new = [branch for branch in branches if branch not in settled]
    if not new:
        return
    # Serialised: the number of branches decides.
    await session.execute(sa.select(sa.func.pg_advisory_xact_lock(BRANCH_LOCK)))
    for branch in new:
        before = await session.execute(sa.select(sa.func.count()).select_from(example_branches))
        await session.execute(
            insert(example_branches)
            .values(branch_id=branch, side=side_of(branch, before.scalar_one()))
            .on_conflict_do_nothing()
        )


async def branch_sides(session: AsyncSession) -> dict[str, str]:
    """Return the side of each branch."""
    found = await session.execute(sa.select(example_branches.c.branch_id, example_branches.c.side))
    return {row.branch_id: row.side for row in found}


async def newest_examples(
    session: AsyncSession, *, limit: int, before_run: str | None = None
) -> list[Example]:
    """List the newest examples with their branch's side, oldest of them first.

    ``before_run`` is the id of a run: none is taken that was stored after it was asked for.
    """
    newest = (
        sa.select(training_examples, example_branches.c.side)
        .join(example_branches, example_branches.c.branch_id == training_examples.c.branch_id)
        .where(~training_examples.c.retired)
        .order_by(training_examples.c.id.desc())
        .limit(limit)
    )
    if before_run is not None:
        # By the database's clock, which both were stored by.
        asked = sa.select(training_runs.c.created_at).where(training_runs.c.id == before_run)
        newest = newest.where(training_examples.c.created_at <= asked.scalar_subquery())
    return read_all(EXAMPLE, reversed((await session.execute(newest)).mappings().all()))


async def list_examples(session: AsyncSession, *, limit: int, before: str | None) -> list[Example]:
    """List examples with their branch's side, newest first."""
    query = (
        sa.select(training_examples, example_branches.c.side)
        .join(example_branches, example_branches.c.branch_id == training_examples.c.branch_id)
        .order_by(training_examples.c.id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(training_examples.c.id < before)
    return read_all(EXAMPLE, (await session.execute(query)).mappings())


async def owners(session: AsyncSession) -> list[LabelCount]:
    """Count each person's labels, and how many of them corrected a reading."""
    columns = training_examples.c
    query = (
        sa.select(
            columns.confirmed_by,
            sa.func.count().label("labels"),
            sa.func.count().filter(columns.corrected).label("corrected"),
        )
        .group_by(columns.confirmed_by)
        .order_by(sa.func.count().desc(), columns.confirmed_by)
        .limit(200)
    )
    return read_all(COUNT, (await session.execute(query)).mappings())


async def stored_features(
    session: AsyncSession, backbone: str, photos: Sequence[str]
) -> dict[str, PhotoFeatures]:
    """Return what a backbone has seen of photos, by their sha256."""
    columns = photo_features.c
    query = sa.select(columns.photo_sha256, columns.features, columns.picture_hash).where(
        columns.backbone == backbone, columns.photo_sha256.in_(photos)
    )
    return {
        row.photo_sha256: PhotoFeatures(row.features, row.picture_hash)
        for row in await session.execute(query)
    }


async def store_features(session: AsyncSession, backbone: str, seen: Mapping[str, PhotoFeatures]) -> None:
    """Keep features and picture hashes, by the photo's sha256, of photos with an example that may teach."""
    if not seen:
        return
    columns = training_examples.c
    # A photo may be forgotten while a run looks at it. Whoever forgets it from here on waits until these are
    # stored, and deletes them. One that is being forgotten is passed over: two who wait could be deadlocked.
    wanted = (
        sa.select(columns.photo_sha256)
        .where(columns.photo_sha256.in_(list(seen)), ~columns.retired)
        .with_for_update(read=True, skip_locked=True)
    )
    still = set((await session.execute(wanted)).scalars())
    rows = [
        {
            "photo_sha256": sha256,
            "backbone": backbone,
            "features": photo.features,
            "picture_hash": photo.picture_hash,
        }
        for sha256, photo in seen.items()
        if sha256 in still
    ]
    if rows:
        await session.execute(insert(photo_features).values(rows).on_conflict_do_nothing())


async def note_roles(session: AsyncSession, run_id: str, assignments: Mapping[str, Assignment]) -> None:
    """Store what a run did with each example."""
    rows = [
        {"run_id": run_id, "example_id": example_id, "role": assignment.role, "reason": assignment.reason}
        for example_id, assignment in assignments.items()
    ]
    for start in range(0, len(rows), 1000):
        await session.execute(
            insert(run_examples).values(rows[start : start + 1000]).on_conflict_do_nothing()
        )


async def learnt_by(session: AsyncSession, version: str) -> set[str]:
    """Return the ids of the examples a model was trained on."""
    query = (
        sa.select(run_examples.c.example_id)
        .join(models, models.c.run_id == run_examples.c.run_id)
        .where(models.c.version == version, run_examples.c.role == "learnt")
    )
    return {row.example_id for row in await session.execute(query)}


async def latest_uses(session: AsyncSession, example_ids: Sequence[str]) -> dict[str, ExampleUse]:
    """Return what the latest finished run did with each example."""
    columns = run_examples.c
    query = (
        sa.select(columns.example_id, columns.run_id, columns.role, columns.reason)
        .ext(distinct_on(columns.example_id))
        .join(training_runs, training_runs.c.id == columns.run_id)
        .where(columns.example_id.in_(example_ids))
        .order_by(columns.example_id, columns.run_id.desc())
    )
    return {row["example_id"]: read(USE, row) for row in (await session.execute(query)).mappings()}
