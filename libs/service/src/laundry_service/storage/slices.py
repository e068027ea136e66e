"""Deletes many rows a slice at a time, each in a transaction of its own.

However much has expired, no transaction is long, nobody waits for its locks, and vacuum can follow.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

SLICE = 5_000
"""Rows of one transaction."""

Transaction = Callable[[], AbstractAsyncContextManager[AsyncSession]]


def slice_of(table: sa.Table, expired: sa.ColumnElement[bool], *, limit: int = SLICE) -> sa.Delete:
    """Return the statement that deletes up to ``limit`` rows; those that another holds are left to it."""
    row: Any = sa.literal_column(f"{table.name}.ctid")
    found = sa.select(row).select_from(table).where(expired).limit(limit).with_for_update(skip_locked=True)
    return sa.delete(table).where(row == sa.func.any(sa.func.array(found.scalar_subquery())))


async def delete_in_slices(transaction: Transaction, statement: sa.Executable) -> int:
    """Execute a statement that deletes a slice until it finds no whole one; returns how many rows went.

    Raises:
        DBAPIError: what was deleted before stays deleted.
    """
    total = 0
    while True:
        async with transaction() as session:
            gone = int((await session.execute(statement)).rowcount)  # type: ignore[attr-defined]
        total += gone
        if gone < SLICE:
            return total
