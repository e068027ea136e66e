"""Queries of photos that are past their time, and of what branches want."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from helper.repository.history import APART, first_id_at
from helper.repository.rows import task_of
from helper.retention import Limits, Policy
from helper.tables import photo_policies, tasks
from helper.tasks import Task
from laundry_service.storage.slices import SLICE

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


# From one branch to the next in the index: there are a thousand branches where there are ten million tasks.
# Time is subtracted in seconds: a database would subtract days of its session's time zone.
_UNTIL = """
WITH RECURSIVE each (branch_id) AS (
    SELECT min(branch_id) FROM tasks WHERE photo_deleted_at IS NULL AND confirmed_at IS NOT NULL
    UNION ALL
    SELECT (
        SELECT min(branch_id) FROM tasks
        WHERE photo_deleted_at IS NULL AND confirmed_at IS NOT NULL AND tasks.branch_id > each.branch_id
    ) FROM each WHERE each.branch_id IS NOT NULL
), branches AS (
    SELECT branch_id,
        make_interval(secs => coalesce(keep_days * 86400, CAST(:confirmed_s AS double precision))) AS kept
    FROM each LEFT JOIN photo_policies USING (branch_id) WHERE branch_id IS NOT NULL
)
"""
_OF_BRANCH = """
FROM branches CROSS JOIN LATERAL (
    SELECT id, confirmed_at FROM tasks
    WHERE tasks.branch_id = branches.branch_id AND photo_deleted_at IS NULL AND confirmed_at IS NOT NULL
        AND confirmed_at <= CAST(:now AS timestamptz) - kept
    ORDER BY confirmed_at LIMIT :at_most {lock}
) AS due
"""
CONFIRMED_DUE = sa.text(
    f"{_UNTIL} SELECT due.id {_OF_BRANCH.format(lock='FOR UPDATE SKIP LOCKED')} LIMIT :at_most"
)
CONFIRMED_OVERDUE = sa.text(f"{_UNTIL} SELECT 1 {_OF_BRANCH.format(lock='')} LIMIT :at_most")
CONFIRMED_OLDEST = sa.text(f"{_UNTIL} SELECT min(confirmed_at + kept) {_OF_BRANCH.format(lock='')}")


def _unconfirmed_due(limits: Limits, now: datetime) -> sa.ColumnElement[bool]:
    # The moment is made here, for the same reason.
    return sa.and_(_KEPT, tasks.c.confirmed_at.is_(None), tasks.c.submitted_at <= now - limits.unconfirmed)


async def expire(
    session: AsyncSession, limits: Limits, *, now: datetime, limit: int
) -> list[tuple[Task, bool]]:
    """Mark up to ``limit`` photos as deleted that are past their time; nobody is shown them from then on.

    What another replica is working on is left to it.

    Returns:
        the tasks, and whether the branch keeps what was learnt.
    """
    asked = {"now": now, "confirmed_s": limits.confirmed.total_seconds(), "at_most": limit}
    ids = [str(each) for each in (await session.execute(CONFIRMED_DUE, asked)).scalars()]
    if len(ids) < limit:
        unconfirmed = (
            sa.select(tasks.c.id)
            .where(_unconfirmed_due(limits, now))
            .order_by(tasks.c.submitted_at)
            .limit(limit - len(ids))
            .with_for_update(skip_locked=True)
        )
        ids += (await session.execute(unconfirmed)).scalars()
    if not ids:
        return []
    keeps = (
        sa.exists()
        .where(photo_policies.c.branch_id == tasks.c.branch_id, photo_policies.c.keep_features)
        .correlate(tasks)
    )
    changed = await session.execute(
        sa.update(tasks)
        .where(tasks.c.id.in_(ids))
        .values(photo_deleted_at=now, version=tasks.c.version + 1, features_kept=keeps)
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


async def next_going(session: AsyncSession, *, after: str, passed_over: Collection[str]) -> Task | None:
    """Lock a task whose photo is marked as deleted and still in the store; the lock is the claim.

    The next one behind ``after``, else the first of all.
    """
    going = sa.select(tasks).where(_GOING).with_for_update(skip_locked=True)
    return await _next(session, going, after, passed_over)


async def _next(
    session: AsyncSession, query: sa.Select[Any], after: str, passed_over: Collection[str]
) -> Task | None:
    first = query.where(tasks.c.id.not_in(passed_over)).order_by(tasks.c.id).limit(1)
    for each in (first.where(tasks.c.id > after), first):
        row = (await session.execute(each)).first()
        if row is not None:
            return task_of(row)
    return None


async def note_gone(session: AsyncSession, task_id: str, at: datetime) -> None:
    """Note that nothing of a photo is in the store any more."""
    await session.execute(
        sa.update(tasks).where(tasks.c.id == task_id).values(photo_gone_at=at, pictures=None)
    )


async def next_bare(session: AsyncSession, *, after: str, passed_over: Collection[str]) -> Task | None:
    """Find a task of which only pictures may remain: its helper is forgotten, and the file tells of him.

    The next one behind ``after``, else the first of all.
    """
    bare = sa.select(tasks).where(
        tasks.c.only_pictures, tasks.c.original_deleted_at.is_(None), _KEPT, tasks.c.status != "submitted"
    )
    return await _next(session, bare, after, passed_over)


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
    asked = {"now": now, "confirmed_s": limits.confirmed.total_seconds()}
    confirmed = len((await session.execute(CONFIRMED_OVERDUE, asked | {"at_most": COUNTED_AT_MOST})).all())
    oldest = (await session.execute(CONFIRMED_OLDEST, asked | {"at_most": 1})).scalar_one()
    unconfirmed, first = await _counted(session, tasks.c.submitted_at, _unconfirmed_due(limits, now))
    going, marked = await _counted(session, tasks.c.photo_deleted_at, _GOING)
    since = [oldest, None if first is None else first + limits.unconfirmed, marked]
    return Overdue(confirmed + unconfirmed + going, min((at for at in since if at is not None), default=None))


async def _counted(
    session: AsyncSession, column: sa.Column[Any], *conditions: sa.ColumnElement[bool]
) -> tuple[int, datetime | None]:
    """Count rows, at most ``COUNTED_AT_MOST``, and find their first time."""
    times = sa.select(column).where(*conditions).order_by(column).limit(COUNTED_AT_MOST).subquery()
    (time,) = times.columns
    row = (await session.execute(sa.select(sa.func.count(), sa.func.min(time)))).one()
    return row[0], row[1]


# Nothing of them is in the store. Their submission keys go with them: those that never expire, too.
_FORGET_TASKS = sa.text("""
WITH old AS (
    SELECT id, helper_id FROM tasks
    WHERE id < :first_id AND submitted_at < :before AND photo_gone_at IS NOT NULL
    ORDER BY id LIMIT :at_most FOR UPDATE SKIP LOCKED
), keys AS (
    DELETE FROM submissions USING old WHERE submissions.task_id = old.id AND submissions.expires_at IS NULL
)
DELETE FROM tasks USING old WHERE tasks.id = old.id
""").bindparams(sa.bindparam("first_id", type_=tasks.c.id.type))


def forget_tasks(before: datetime) -> sa.Executable:
    """Return the statement that deletes a slice of the tasks that were submitted before then."""
    # An id is made of the time of submission, and right after it is taken.
    return _FORGET_TASKS.bindparams(first_id=first_id_at(before, APART), before=before, at_most=SLICE)
