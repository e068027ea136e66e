"""Queries that list tasks."""

from collections.abc import Collection, Sequence
from typing import Any

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
    wanted = conditions(search)
    if before is not None:
        wanted.append(tasks.c.id < before)
    each = [_newest_of(status, branches, wanted, limit) for status in statuses or (None,)]
    found = (sa.union_all(*each) if len(each) > 1 else each[0]).subquery("found")
    query = sa.select(found).order_by(found.c.id.desc()).limit(limit)
    return [task_of(row) for row in await connection.execute(query)]


def _newest_of(
    status: Status | None,
    branches: Collection[str] | None,
    wanted: Sequence[sa.ColumnElement[bool]],
    limit: int,
) -> sa.Select[Any]:
    """Select the newest of one status, for each branch apart: an index has each in this order, not several.

    The status is written into the statement: an index of a few of them is used only where it is known.
    """
    if status is None:
        of_status = tasks.c.status != "withdrawn"
    else:
        of_status = tasks.c.status == sa.bindparam(None, status, literal_execute=True)
    query = sa.select(tasks).where(of_status, *wanted).limit(limit)
    if branches is None:
        return sa.select(query.order_by(tasks.c.id.desc()).subquery())
    each = sa.func.unnest(sa.cast(sorted(branches), sa.ARRAY(sa.Text))).table_valued("branch_id")
    asked = each.render_derived(name="asked")
    # As a range and in this order: else the planner takes a branch for an average one and may walk down
    # everybody's tasks, which for a branch that sends nothing never ends.
    of_branch = query.where(
        tasks.c.branch_id >= asked.c.branch_id, tasks.c.branch_id <= asked.c.branch_id
    ).order_by(tasks.c.branch_id, tasks.c.id.desc())
    return sa.select(of_branch.lateral("newest")).select_from(asked)


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
