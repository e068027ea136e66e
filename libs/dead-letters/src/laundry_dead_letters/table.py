"""The audit in the operations service's database, which its API and the command line both write.

Plain asyncpg: each record is one statement, and neither program needs more of a database library for it.
"""

import json
from datetime import datetime
from typing import Any

import asyncpg

from laundry_dead_letters.audit import record_of
from laundry_dead_letters.dead_letter import DeadLetter, OperatorAction

CHECK = "SELECT has_table_privilege('audit', 'INSERT')"
HAS = "SELECT EXISTS (SELECT FROM audit WHERE action = $1 AND queue = $2 AND fingerprint = $3)"
INSERT = """
INSERT INTO audit (at, by, via, run, action, queue, message_id, fingerprint, record)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
"""
NEWEST = """
SELECT number, audit_shown(record) AS record FROM audit
WHERE ($1::bigint IS NULL OR number < $1) AND ($2::text IS NULL OR queue = $2)
  AND ($3::text IS NULL OR message_id = $3) AND (NOT $5 OR fingerprint IS NOT NULL)
ORDER BY number DESC LIMIT $4
"""


class TableAudit:
    """Records as rows. A failure of the database is raised as an OSError, as one of the file would be."""

    def __init__(self, pool: "asyncpg.Pool[Any]") -> None:
        self._pool = pool

    async def check(self) -> None:
        """Find out whether records can be kept."""
        await self._fetchval(CHECK)

    async def has(self, letter: DeadLetter, action: str) -> bool:
        """Ask for a record of this letter, in its queue: the same event may have died in others, too."""
        return bool(await self._fetchval(HAS, action, letter.queue, letter.fingerprint))

    async def write(self, letter: DeadLetter, act: OperatorAction, now: datetime) -> None:
        """Insert one record; it is committed when this returns."""
        record = record_of(letter, act, now)
        await self._fetchval(
            INSERT,
            now,
            act.by,
            act.via,
            act.run,
            act.action,
            letter.queue,
            # PostgreSQL's text takes no NUL, and a stranger's id may hold one.
            letter.message_id.replace("\0", "\ufffd") if letter.message_id else None,
            letter.fingerprint,
            json.dumps(record, ensure_ascii=False).replace("\\u0000", "\\ufffd"),
        )

    async def newest(
        self,
        *,
        before: int | None = None,
        queue: str | None = None,
        message_id: str | None = None,
        limit: int = 100,
        letters_only: bool = False,
    ) -> list[tuple[int, dict[str, Any]]]:
        """Return records with their numbers, newest first; what was done to jobs among them."""
        try:
            rows = await self._pool.fetch(NEWEST, before, queue, message_id, limit, letters_only)
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise ConnectionError(f"the audit cannot be read: {error}") from error
        return [(int(row["number"]), json.loads(row["record"])) for row in rows]

    async def _fetchval(self, query: str, *values: Any) -> Any:
        try:
            return await self._pool.fetchval(query, *values)
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise ConnectionError(f"the audit cannot be kept: {error}") from error
