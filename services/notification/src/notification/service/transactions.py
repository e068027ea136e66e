"""Transactions in which messages have their effects."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from laundry_events.errors import RequeueMessage
from laundry_service.storage.database import Database
from laundry_service.storage.outages import is_contention


@asynccontextmanager
async def effect_of_message(database: Database) -> AsyncIterator[AsyncSession]:
    """Open a transaction that commits at the end of the block.

    Raises:
        RequeueMessage: somebody else holds a row that it needs; nothing was changed.
    """
    try:
        async with database.transaction() as session:
            yield session
    except DBAPIError as error:
        if is_contention(error):
            raise RequeueMessage("a row that this message needs is locked") from error
        raise
