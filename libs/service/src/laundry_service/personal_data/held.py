"""Which rows are a person's, how they are read for an export, and how they are erased, some at a time."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from laundry_service.storage.database import Database

AT_ONCE = 500
"""Rows that one transaction erases, so that nobody waits long for a lock and a crash repeats little."""

# Named as no column is: an UPDATE would take them for its values.
PERSON = sa.bindparam("held_of", type_=sa.Text)
TOMBSTONE = sa.bindparam("held_by_nobody", type_=sa.Text)

FORGET_ACTOR = sa.text("SELECT audit_forget(:person)")
ACTS = sa.text("""
SELECT audit_shown(record)::jsonb FROM audit
WHERE by = (SELECT pseudonym FROM audit_people WHERE person = :person) ORDER BY number
""")


@dataclass(frozen=True)
class Held:
    """Rows of one table that are about a person.

    Attributes:
        name: what they are called in an export and in the report of an erasure.
        whose: the condition that they are the person's (``PERSON``); no longer true once they are erased.
        becomes: values for rows that must remain (``TOMBSTONE`` stands for the person); None deletes them.
        shown: columns of an export; all of them unless given, none where another entry shows the rows.
    """

    name: str
    table: sa.Table
    whose: sa.ColumnElement[bool]
    becomes: Mapping[str, Any] | None = None
    shown: Sequence[str] | None = None

    def export(self) -> sa.Select[Any] | None:
        """Return the query of an export: each row as one JSON object; None if nothing is shown."""
        names = [column.name for column in self.table.columns] if self.shown is None else self.shown
        if not names:
            return None
        rows = sa.select(*(self.table.c[name] for name in names)).where(self.whose).subquery("held")
        return sa.select(sa.func.to_jsonb(sa.text("held"), type_=JSONB)).select_from(rows)

    def erase(self) -> sa.Update | sa.Delete:
        """Return the statement that erases up to ``AT_ONCE`` rows."""
        key = list(self.table.primary_key.columns)
        # A CTE with a lock is evaluated once: the limit holds however the statement is planned.
        some = sa.select(*key).where(self.whose).limit(AT_ONCE).with_for_update().cte("some")
        chosen = sa.tuple_(*key).in_(sa.select(*some.columns))
        if self.becomes is None:
            return sa.delete(self.table).where(chosen)
        return sa.update(self.table).where(chosen).values(dict(self.becomes))


class PersonalData:
    """The export and the erasure of one service."""

    def __init__(self, database: Database, held: Sequence[Held], *, audited: bool = False) -> None:
        """Take what the service holds, in the order in which it is to be erased.

        Args:
            audited: the database has an audit, in which the person may be named.
        """
        self._database = database
        self._held = held
        self._audited = audited

    async def export(self, person: str) -> AsyncIterator[tuple[str, Any]]:
        """Yield every row about a person with its name, from one snapshot, as it is read."""
        async with self._database.session() as session:
            await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            for held in self._held:
                query = held.export()
                if query is not None:
                    async for row in await session.stream_scalars(query, {PERSON.key: person}):
                        yield held.name, row
            if self._audited:
                async for row in await session.stream_scalars(ACTS, {"person": person}):
                    yield "acts", json.loads(row) if isinstance(row, str) else row

    async def erase(self, person: str, tombstone: str) -> dict[str, int]:
        """Erase a person, a transaction for each ``AT_ONCE`` rows; returns how many rows of each kind.

        It may be repeated: what an earlier attempt has erased is not found again.
        """
        return {held.name: await self._erase(held, person, tombstone) for held in self._held}

    async def _erase(self, held: Held, person: str, tombstone: str) -> int:
        statement, number = held.erase(), 0
        values = {PERSON.key: person, TOMBSTONE.key: tombstone}
        used = {name: values[name] for name in statement.compile().params if name in values}
        while True:
            async with self._database.transaction() as session:
                some: int = (await session.execute(statement, used)).rowcount  # type: ignore[attr-defined]
            number += some
            if some < AT_ONCE:
                return number

    async def forget_actor(self, session: AsyncSession, person: str) -> None:
        """Destroy what tells whom the audit means, in the caller's transaction; its records remain."""
        if self._audited:
            await session.execute(FORGET_ACTOR, {"person": person})


def equals(column: sa.Column[Any]) -> sa.ColumnElement[bool]:
    """Return the condition that a column holds the person."""
    return column == PERSON
