"""Adds a record in the transaction of the act itself."""

from datetime import UTC, datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from laundry_service.audit.acts import COLUMNS, Act, row_of

INSERT = text(f"INSERT INTO audit ({', '.join(COLUMNS)}) VALUES (:{', :'.join(COLUMNS)})")  # noqa: S608


async def write(session: AsyncSession, act: Act) -> None:
    """Add a record to the audit in the caller's transaction: it is there if, and only if, the act is.

    Call it last in a transaction: nobody else can add a row until the commit.
    """
    await session.execute(INSERT, row_of(act, datetime.now(UTC)))
