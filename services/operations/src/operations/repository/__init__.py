"""Every query of the operations service but those of the audit, which the command line shares.

Plain asyncpg: this service reads and writes rows of two tables and should stay small beside the others.
"""

import json
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast
from uuid import UUID

from laundry_dead_letters.table import TableAudit
from laundry_service.audit.acts import COLUMNS, Act, row_of
from laundry_service.audit.heads import HEAD
from operations.jobs import Job, NewJob
from operations.repository.connections import Connections

if TYPE_CHECKING:
    import asyncpg

JOB = """
SELECT id, action, queue, reason, ids, at_most, rate, why, by, state, preview, error, created_at, started_at,
       finished_at, cardinality(targets) AS total,
       (SELECT count(*) FROM audit WHERE audit.run = jobs.id::text) AS done
FROM jobs
"""
INSERT = """
INSERT INTO jobs (id, action, queue, reason, ids, at_most, rate, why, by, state, targets, preview)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING id
"""
ACTED = f"INSERT INTO audit ({', '.join(COLUMNS)}) VALUES ($1, $2, $3, $4, $5, $6)"  # noqa: S608
FORGET_PLANS = "DELETE FROM jobs WHERE state = 'planned' AND created_at < now() - interval '1 day'"
RELEASE = """
UPDATE jobs SET state = 'queued', why = $2, by = $3, rate = $4
WHERE id = $1 AND state = 'planned' AND action = $5 AND queue = $6 AND created_at > now() - interval '1 hour'
RETURNING id
"""
OPEN = JOB + "WHERE state IN ('queued', 'running') ORDER BY number"
BEGIN = """
UPDATE jobs SET state = 'running', started_at = coalesce(started_at, now()), error = NULL
WHERE id = $1 AND state IN ('queued', 'running') RETURNING targets
"""
END = """
UPDATE jobs SET state = $2, error = $3, finished_at = now() WHERE id = $1 AND state IN ('queued', 'running')
RETURNING id
"""
SENT_BACK = "SELECT at FROM audit WHERE action = 'redrive' ORDER BY number DESC LIMIT 1"
NOTE = "UPDATE jobs SET error = $2 WHERE id = $1 AND state = 'running'"
AGAIN = """
UPDATE jobs SET state = 'queued', error = NULL, finished_at = NULL, by = $2, why = coalesce($3, why)
WHERE id = $1 AND state IN ('failed', 'cancelled') RETURNING id
"""
NEWEST = JOB + "WHERE state <> 'planned' ORDER BY number DESC LIMIT $1"


class Store:
    """The service's database. Every failure of it is raised as a ConnectionError or TimeoutError."""

    def __init__(self, url: str, *, pool: int) -> None:
        self._connections = Connections(url, size=pool)

    async def close(self) -> None:
        """Close every connection."""
        await self._connections.close()

    async def ping(self) -> bool:
        """Run a trivial query, as a health check."""
        return bool(await self._connections.fetchval("SELECT 1") == 1)

    async def audit(self) -> TableAudit:
        """Return the audit of dead letters, on these connections."""
        # It asks no more of a pool than to fetch.
        return TableAudit(cast("asyncpg.Pool[Any]", self._connections))

    async def last_sent_back(self) -> datetime | None:
        """Return when a dead letter was sent back last, as far as this audit tells."""
        at: datetime | None = await self._connections.fetchval(SENT_BACK)
        return at

    async def audit_head(self) -> Any:
        """Return the head of the audit."""
        rows = await self._connections.fetch(HEAD)
        return rows[0] if rows else None

    def holding(self, queue: str, *, wait_s: float) -> AbstractAsyncContextManager[bool]:
        """Hold a queue's dead letters among all replicas; yields whether it was got in time."""
        return self._connections.holding(queue, wait_s=wait_s)

    async def add(self, job: NewJob, *, state: str, act: Act | None = None) -> None:
        """Keep a new job or plan; a job with its act in the audit."""
        await self._connections.fetchval(FORGET_PLANS)
        await self._audited(
            act,
            INSERT,
            job.id,
            job.action,
            job.queue,
            job.reason,
            list(job.ids),
            job.at_most,
            job.rate,
            job.why,
            job.by,
            state,
            None if job.targets is None else list(job.targets),
            None if job.preview is None else json.dumps(job.preview),
        )

    async def release_plan(
        self, plan: UUID, *, action: str, queue: str, why: str, by: str, rate: float, act: Act
    ) -> bool:
        """Turn a plan of the last hour into a job; only once."""
        return bool(await self._audited(act, RELEASE, plan, why, by, rate, action, queue))

    async def open_jobs(self) -> list[Job]:
        """Return the jobs that are not finished, oldest first."""
        return [_job(row) for row in await self._connections.fetch(OPEN)]

    async def newest_jobs(self, limit: int) -> list[Job]:
        """Return jobs, newest first."""
        return [_job(row) for row in await self._connections.fetch(NEWEST, limit)]

    async def job(self, id_: UUID) -> Job | None:
        """Return a job, None if there is none with this id."""
        rows = await self._connections.fetch(JOB + "WHERE id = $1", id_)
        return _job(rows[0]) if rows else None

    async def jobs(self, ids: Sequence[UUID]) -> list[Job]:
        """Find several; the ones that there are."""
        return [_job(row) for row in await self._connections.fetch(JOB + "WHERE id = ANY($1)", list(ids))]

    async def begin(self, id_: UUID) -> tuple[bool, list[str] | None]:
        """Mark a job as running; returns whether it may run, and its targets if they are known."""
        rows = await self._connections.fetch(BEGIN, id_)
        return (True, rows[0]["targets"]) if rows else (False, None)

    async def set_targets(self, id_: UUID, targets: Sequence[str]) -> None:
        """Keep which letters a job is about."""
        await self._connections.fetchval("UPDATE jobs SET targets = $2 WHERE id = $1", id_, list(targets))

    async def end(self, id_: UUID, state: str, error: str | None = None, *, act: Act | None = None) -> bool:
        """Finish an open job; false if it was finished. ``act`` is a person's who ended it."""
        return bool(await self._audited(act, END, id_, state, error))

    async def note(self, id_: UUID, error: str) -> None:
        """Say why a running job waits."""
        await self._connections.fetchval(NOTE, id_, error)

    async def again(self, id_: UUID, *, by: str, why: str | None, act: Act) -> bool:
        """Resume a failed or cancelled job, now on behalf of ``by``."""
        return bool(await self._audited(act, AGAIN, id_, by, why))

    async def _audited(self, act: Act | None, query: str, *values: Any) -> list[Any]:
        """Run a statement and, if it changed a row, keep its act in the same transaction."""
        async with self._connections.one() as connection, connection.transaction():
            rows: list[Any] = list(await connection.fetch(query, *values))
            if rows and act is not None:
                row = row_of(act, datetime.now(UTC))
                await connection.execute(ACTED, *(row[name] for name in COLUMNS))
        return rows


def _job(row: Any) -> Job:
    values = dict(row)
    preview = values.pop("preview")
    return Job(**{**values, "ids": tuple(values["ids"]), "preview": json.loads(preview) if preview else None})
