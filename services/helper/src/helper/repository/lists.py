"""Queries that list tasks."""

from collections.abc import Collection, Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from helper.history import EVERYTHING, Search
from helper.repository.history import conditions
from helper.repository.rows import task_of
from helper.tables import tasks
from helper.tasks import Status, Task


async def newest(
    connection: AsyncConnection,
    *,
    branches: Collection[str] | None,
    statuses: Sequence[Status],
    before: str | None,
    limit: int,
    search: Search = EVERYTHING,
) -> list[Task]:
    """List tasks, newest first (ids are ordered by time).

    Args:
        branches: only theirs; None is all.
        statuses: only these; none is all but those that were withdrawn.
        before: only tasks older than this id.
    """
    query = sa.select(tasks).where(*conditions(search)).order_by(tasks.c.id.desc()).limit(limit)
    if branches is not None:
        query = query.where(tasks.c.branch_id.in_(branches))
    query = query.where(tasks.c.status.in_(statuses) if statuses else tasks.c.status != "withdrawn")
    if before is not None:
        query = query.where(tasks.c.id < before)
    return [task_of(row) for row in await connection.execute(query)]


async def corrected_of(
    connection: AsyncConnection,
    helper_id: str,
    *,
    branches: Collection[str],
    before: str | None,
    limit: int,
) -> list[Task]:
    """List a helper's tasks of these branches that an owner corrected, newest first."""
    query = (
        sa.select(tasks)
        .where(tasks.c.helper_id == helper_id, tasks.c.corrected, tasks.c.branch_id.in_(branches))
        .order_by(tasks.c.id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(tasks.c.id < before)
    return [task_of(row) for row in await connection.execute(query)]


async def find_all(connection: AsyncConnection, task_ids: Collection[str]) -> list[Task]:
    """Find the tasks that exist among these ids."""
    rows = await connection.execute(sa.select(tasks).where(tasks.c.id.in_(task_ids)))
    return [task_of(row) for row in rows]
