"""Queries of examples, and of what runs made of them."""

from collections.abc import Collection, Mapping, Sequence

import sqlalchemy as sa
from pydantic import TypeAdapter
from sqlalchemy.dialects.postgresql import distinct_on, insert
from sqlalchemy.ext.asyncio import AsyncSession

from laundry_events import new_id
from laundry_events.events import PhotoDeleted, TaskConfirmed
from laundry_learning.curation import Assignment
from laundry_learning.features import PhotoFeatures
from mlops.examples import Example, ExampleUse, LabelCount, side_of
from mlops.repository.rows import read, read_all
from mlops.tables import (
    example_branches,
    models,
    photo_features,
    run_examples,
    training_examples,
    training_runs,
)

BRANCH_LOCK = 0x1A0D32
EXAMPLE = TypeAdapter(Example)
USE = TypeAdapter(ExampleUse)
COUNT = TypeAdapter(LabelCount)


async def store_examples(session: AsyncSession, confirmed: Mapping[str, TaskConfirmed]) -> None:
    """Store confirmed tasks as examples, given by their events' ids in the order in which they came.

    Of two confirmations of one task the newer counts. A branch's first example assigns its side for good.
    """
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
    sent more than once, and that one's branch decides for itself.
    """
    columns = training_examples.c
    await session.execute(
        sa.update(training_examples)
        .where(columns.task_id == event.task_id)
        .values(photo_deleted_at=event.deleted_at, retired=not event.keep_features)
    )
    if event.keep_features:
        return
    wanted = sa.exists().where(columns.photo_sha256 == event.photo_sha256, ~columns.retired)
    await session.execute(
        sa.delete(photo_features).where(photo_features.c.photo_sha256 == event.photo_sha256, ~wanted)
    )


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


async def newest_examples(session: AsyncSession, *, limit: int, until: str | None = None) -> list[Example]:
    """List the newest examples with their branch's side, oldest of them first.

    ``until`` is an id (they are made of the time) after which none is taken.
    """
    newest = (
        sa.select(training_examples, example_branches.c.side)
        .join(example_branches, example_branches.c.branch_id == training_examples.c.branch_id)
        .where(~training_examples.c.retired)
        .order_by(training_examples.c.id.desc())
        .limit(limit)
    )
    if until is not None:
        newest = newest.where(training_examples.c.id <= until)
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
    """Keep features and picture hashes, by the photo's sha256."""
    if not seen:
        return
    rows = [
        {
            "photo_sha256": sha256,
            "backbone": backbone,
            "features": photo.features,
            "picture_hash": photo.picture_hash,
        }
        for sha256, photo in seen.items()
    ]
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
