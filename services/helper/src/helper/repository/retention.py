"""Queries of photos that are past their time, and of what branches want."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from helper.repository.rows import task_of
from helper.retention import Limits, Policy, kept_for
from helper.tables import photo_policies, tasks
from helper.tasks import Task

COUNTED_AT_MOST = 10_000

_KEPT = tasks.c.photo_deleted_at.is_(None)
_GOING = sa.and_(tasks.c.photo_deleted_at.is_not(None), tasks.c.photo_gone_at.is_(None))


async def policy_of(session: AsyncSession | AsyncConnection, branch_id: str) -> Policy | None:
    """Return what a branch wants, None if it has said nothing."""
    return (await policies(session, [branch_id])).get(branch_id)


async def policies(
    session: AsyncSession | AsyncConnection, branches: Collection[str] | None = None
) -> dict[str, Policy]:
    """Return what branches want, those of them that said something; None asks for all."""
    query = sa.select(photo_policies)
    if branches is not None:
        query = query.where(photo_policies.c.branch_id.in_(branches))
    return {
        row.branch_id: Policy(row.keep_days, row.keep_features, row.changed_by, row.changed_at)
        for row in await session.execute(query)
    }


async def set_policy(session: AsyncSession, branch_id: str, policy: Policy) -> None:
    """Store what a branch wants."""
    values = {
        "keep_days": policy.keep_days,
        "keep_features": policy.keep_features,
        "changed_by": policy.changed_by,
        "changed_at": policy.changed_at,
    }
    await session.execute(
        insert(photo_policies)
        .values(branch_id=branch_id, **values)
        .on_conflict_do_update(index_elements=["branch_id"], set_=values)
    )


@dataclass(frozen=True)
class _Due:
    """Photos of some branches that are due before one moment."""

    condition: sa.ColumnElement[bool]
    since: sa.Column[datetime]
    kept: timedelta


def _all_due(known: dict[str, Policy], limits: Limits) -> list[_Due]:
    confirmed, submitted = tasks.c.confirmed_at, tasks.c.submitted_at
    found = [
        _Due(tasks.c.branch_id == branch, confirmed, kept_for(policy, limits))
        for branch, policy in known.items()
    ]
    silent = tasks.c.branch_id.not_in(list(known)) if known else sa.true()
    found.append(_Due(silent, confirmed, limits.confirmed))
    found.append(_Due(confirmed.is_(None), submitted, limits.unconfirmed))
    return found


def _conditions(due: _Due, now: datetime) -> list[sa.ColumnElement[bool]]:
    # The moment is made here: a database would subtract days of its session's time zone.
    return [_KEPT, due.condition, due.since <= now - due.kept]


async def expire(
    session: AsyncSession, limits: Limits, *, now: datetime, limit: int
) -> list[tuple[Task, bool]]:
    """Mark up to ``limit`` photos as deleted that are past their time; nobody is shown them from then on.

    What another replica is working on is left to it.

    Returns:
        the tasks, and whether the branch keeps what was learnt.
    """
    known = await policies(session)
    ids: list[str] = []
    for due in _all_due(known, limits):
        if len(ids) >= limit:
            break
        some = (
            sa.select(tasks.c.id)
            .where(*_conditions(due, now))
            .order_by(due.since)
            .limit(limit - len(ids))
            .with_for_update(skip_locked=True)
        )
        ids += (await session.execute(some)).scalars()
    if not ids:
        return []
    willing = [branch for branch, policy in known.items() if policy.keep_features]
    changed = await session.execute(
        sa.update(tasks)
        .where(tasks.c.id.in_(ids))
        .values(
            photo_deleted_at=now,
            version=tasks.c.version + 1,
            features_kept=tasks.c.branch_id.in_(willing) if willing else sa.false(),
        )
        .returning(tasks)
    )
    return [(task_of(row), bool(row.features_kept)) for row in changed]


async def withdraw(session: AsyncSession, *, limit: int) -> list[Task]:
    """Note up to ``limit`` deleted photos whose branch no longer agrees that what was learnt is kept."""
    some = (
        sa.select(tasks.c.id)
        .join(photo_policies, photo_policies.c.branch_id == tasks.c.branch_id)
        .where(tasks.c.features_kept, ~photo_policies.c.keep_features)
        .limit(limit)
        .with_for_update(of=tasks, skip_locked=True)
        .cte("some")
    )
    changed = await session.execute(
        sa.update(tasks)
        .where(tasks.c.id.in_(sa.select(some.c.id)))
        .values(features_kept=False)
        .returning(tasks)
    )
    return [task_of(row) for row in changed]


async def next_going(session: AsyncSession, *, passed_over: Collection[str]) -> Task | None:
    """Lock a task whose photo is marked as deleted and still in the store; the lock is the claim."""
    query = (
        sa.select(tasks)
        .where(_GOING, tasks.c.id.not_in(passed_over))
        .order_by(tasks.c.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    row = (await session.execute(query)).first()
    return None if row is None else task_of(row)


async def note_gone(session: AsyncSession, task_id: str, at: datetime) -> None:
    """Note that nothing of a photo is in the store any more."""
    await session.execute(
        sa.update(tasks).where(tasks.c.id == task_id).values(photo_gone_at=at, pictures=None)
    )


async def next_bare(session: AsyncSession, *, passed_over: Collection[str]) -> Task | None:
    """Find a task of which only pictures may remain: its helper is forgotten, and the file tells of him."""
    query = (
        sa.select(tasks)
        .where(
            tasks.c.only_pictures,
            tasks.c.original_deleted_at.is_(None),
            _KEPT,
            tasks.c.status != "submitted",
            tasks.c.id.not_in(passed_over),
        )
        .order_by(tasks.c.id)
        .limit(1)
    )
    row = (await session.execute(query)).first()
    return None if row is None else task_of(row)


async def note_original_deleted(session: AsyncSession, task_id: str, at: datetime) -> None:
    """Note that the file as it was sent is gone."""
    await session.execute(sa.update(tasks).where(tasks.c.id == task_id).values(original_deleted_at=at))


@dataclass(frozen=True)
class Overdue:
    """How many photos are past their time, at most ``COUNTED_AT_MOST`` of each kind, and since when."""

    number: int
    oldest: datetime | None


async def overdue(session: AsyncSession, limits: Limits, *, now: datetime) -> Overdue:
    """Count the photos that should be gone."""
    number, since = 0, []
    for due in _all_due(await policies(session), limits):
        found, first = await _counted(session, due.since, *_conditions(due, now))
        number += found
        since += [] if first is None else [first + due.kept]
    found, first = await _counted(session, tasks.c.photo_deleted_at, _GOING)
    since += [] if first is None else [first]
    return Overdue(number + found, min(since, default=None))


async def _counted(
    session: AsyncSession, column: sa.Column[Any], *conditions: sa.ColumnElement[bool]
) -> tuple[int, datetime | None]:
    """Count rows, at most ``COUNTED_AT_MOST``, and find their first time."""
    times = sa.select(column).where(*conditions).order_by(column).limit(COUNTED_AT_MOST).subquery()
    (time,) = times.columns
    row = (await session.execute(sa.select(sa.func.count(), sa.func.min(time)))).one()
    return row[0], row[1]
