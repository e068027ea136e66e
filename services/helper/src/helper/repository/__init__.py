"""Every query of the helper: transactions and single tasks here, the rest in a module per subject."""

import contextlib
from collections.abc import AsyncIterator, Collection, Iterator
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from helper.repository.rows import task_of, values
from helper.tables import tasks
from helper.tasks import Task
from laundry_service.storage.database import Database
from laundry_service.storage.outages import is_outage


class DatabaseUnavailable(Exception):
    """The database did not answer, or refused for now: try again later.

    ``in_doubt`` says that something was sent to it that may have had its effect.
    """

    def __init__(self, message: str, *, in_doubt: bool) -> None:
        super().__init__(message)
        self.in_doubt = in_doubt


@contextlib.asynccontextmanager
async def transaction(database: Database) -> AsyncIterator[AsyncSession]:
    """Open a transaction that commits at the end of the block.

    Raises:
        DatabaseUnavailable: it may not be committed.
    """
    with _told_when_away() as progress:
        async with database.transaction() as session:
            progress.append("opened")
            yield session


@contextlib.asynccontextmanager
async def single(database: Database) -> AsyncIterator[AsyncConnection]:
    """Open a connection for one statement, which commits by itself.

    Raises:
        DatabaseUnavailable: it may not be committed.
    """
    with _told_when_away() as progress:
        async with database.single() as connection:
            progress.append("opened")
            yield connection


@contextlib.contextmanager
def _told_when_away() -> Iterator[list[str]]:
    progress: list[str] = []
    try:
        yield progress
    except Exception as error:
        if not is_outage(error):
            raise
        cause = getattr(error, "orig", error)
        raise DatabaseUnavailable(f"{type(cause).__name__}: {cause}", in_doubt=bool(progress)) from error


async def find(session: AsyncSession | AsyncConnection, task_id: str, *, lock: bool = False) -> Task | None:
    """Find a task; with ``lock`` nobody else changes it before this transaction ends."""
    query = sa.select(tasks).where(tasks.c.id == task_id)
    row = (await session.execute(query.with_for_update() if lock else query)).first()
    return None if row is None else task_of(row)


async def time_of(session: AsyncSession) -> datetime:
    """Return the database's own time: the relay goes by it, too."""
    at: datetime = (await session.execute(sa.select(sa.func.now()))).scalar_one()
    return at


async def change(session: AsyncSession, task: Task) -> None:
    """Store a task that was found with ``lock`` and changed by the rules."""
    await session.execute(sa.update(tasks).where(tasks.c.id == task.id).values(values(task)))


async def known_keys(session: AsyncSession, task_ids: Collection[str]) -> set[str]:
    """Return the keys of what is stored for these tasks: photos and their pictures."""
    found = await session.execute(sa.select(tasks).where(tasks.c.id.in_(task_ids)))
    return {key for row in found for key in task_of(row).stored}
