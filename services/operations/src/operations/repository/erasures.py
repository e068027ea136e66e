"""Queries of the erasures."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from laundry_service.personal_data.held import TOMBSTONE, Held, equals
from operations.erasures import Erasure, ErasurePart
from operations.tables import erasure_parts, erasures, history_people, jobs

HELD = (
    Held(
        "jobs",
        jobs,
        equals(jobs.c.by),
        becomes={"by": TOMBSTONE, "why": ""},
        shown=("id", "action", "queue", "why", "state", "created_at"),
    ),
    Held(
        "erasures",
        erasures,
        equals(erasures.c.requested_by),
        becomes={"requested_by": TOMBSTONE},
        shown=("id", "requested_at", "completed_at"),
    ),
    Held(
        "history",
        history_people,
        equals(history_people.c.person_id),
        becomes={"person_id": None, "tombstone": TOMBSTONE},
        # The events are about what the services hold, and are told by them.
        shown=(),
    ),
)
"""What operations holds of people, besides the audit and the person of an erasure that is under way."""


async def add(session: AsyncSession, erasure: Erasure) -> bool:
    """Store a new erasure with its parts; false if this person's is under way already."""
    stored = await session.execute(
        insert(erasures)
        .values(
            id=erasure.id,
            person_id=erasure.person_id,
            tombstone=erasure.tombstone,
            requested_by=erasure.requested_by,
            requested_at=erasure.requested_at,
            attempt=erasure.attempt,
            asked_at=erasure.asked_at,
        )
        .on_conflict_do_nothing()
        .returning(erasures.c.id)
    )
    if stored.first() is None:
        return False
    await session.execute(
        sa.insert(erasure_parts).values(
            [{"erasure_id": erasure.id, "service": part.service} for part in erasure.parts]
        )
    )
    return True


async def find(session: AsyncSession, erasure_id: str, *, lock: bool = False) -> Erasure | None:
    """Find an erasure; with ``lock`` nobody else changes it before this transaction ends."""
    query = sa.select(erasures).where(erasures.c.id == erasure_id)
    found = await _read(session, query.with_for_update() if lock else query)
    return found[0] if found else None


async def open_of(session: AsyncSession, person: str) -> Erasure | None:
    """Find the erasure of a person that is under way."""
    found = await _read(session, sa.select(erasures).where(erasures.c.person_id == person))
    return found[0] if found else None


async def newest(session: AsyncSession, *, limit: int, before: str | None) -> list[Erasure]:
    """List erasures, newest first (ids are ordered by time)."""
    query = sa.select(erasures).order_by(erasures.c.id.desc()).limit(limit)
    return await _read(session, query if before is None else query.where(erasures.c.id < before))


async def under_way(session: AsyncSession) -> list[Erasure]:
    """List those that are not completed, oldest first."""
    query = sa.select(erasures).where(erasures.c.completed_at.is_(None)).order_by(erasures.c.id)
    return await _read(session, query)


async def confirm(
    session: AsyncSession,
    erasure_id: str,
    service: str,
    *,
    attempt: int,
    rows: Mapping[str, int],
    at: datetime,
) -> None:
    """Note that a service has forgotten the person; what an earlier attempt erased is added up.

    Each attempt counts once: an answer may be told again from the history when no inbox knows it any more.
    """
    this = (erasure_parts.c.erasure_id == erasure_id, erasure_parts.c.service == service)
    known = await session.execute(
        sa.select(erasure_parts.c.attempt, erasure_parts.c.rows).where(*this).with_for_update()
    )
    part = known.first()
    if part is None or attempt <= (part.attempt or 0):
        return
    summed = {kind: part.rows.get(kind, 0) + rows.get(kind, 0) for kind in part.rows.keys() | rows.keys()}
    await session.execute(
        sa.update(erasure_parts).where(*this).values(attempt=attempt, rows=summed, forgotten_at=at)
    )


async def wait_no_longer(session: AsyncSession, services: Collection[str]) -> None:
    """Remove services from the erasures that wait for them: they were there when these were requested."""
    waiting = sa.exists().where(
        erasures.c.id == erasure_parts.c.erasure_id,
        erasures.c.completed_at.is_(None),
        erasures.c.attempt > sa.func.coalesce(erasure_parts.c.attempt, 0),
    )
    await session.execute(sa.delete(erasure_parts).where(erasure_parts.c.service.in_(services), waiting))


async def note_dead_letters(
    session: AsyncSession, erasure: Erasure, number: int | None, at: datetime
) -> None:
    """Keep how many dead letters name the person, and since when none does."""
    clear_since = None if number != 0 else erasure.clear_since or at
    await session.execute(
        sa.update(erasures)
        .where(erasures.c.id == erasure.id)
        .values(dead_letters=number, clear_since=clear_since)
    )


async def note_asked(session: AsyncSession, erasure_id: str, at: datetime) -> None:
    """Keep when the services were asked last."""
    await session.execute(sa.update(erasures).where(erasures.c.id == erasure_id).values(asked_at=at))


async def begin_final(session: AsyncSession, erasure: Erasure) -> int:
    """Begin the last attempt; returns its number."""
    await session.execute(
        sa.update(erasures).where(erasures.c.id == erasure.id).values(attempt=erasure.attempt + 1, final=True)
    )
    return erasure.attempt + 1


async def complete(session: AsyncSession, erasure_id: str, at: datetime) -> None:
    """Forget whom an erasure was about."""
    await session.execute(
        sa.update(erasures)
        .where(erasures.c.id == erasure_id)
        .values(
            completed_at=at,
            requested_by=sa.case(
                (erasures.c.requested_by == erasures.c.person_id, erasures.c.tombstone),
                else_=erasures.c.requested_by,
            ),
            person_id=None,
        )
    )


async def _read(session: AsyncSession, query: sa.Select[tuple[object, ...]]) -> list[Erasure]:
    rows = (await session.execute(query)).mappings().all()
    parts = await _parts(session, [row["id"] for row in rows])
    return [Erasure(**row, parts=tuple(parts.get(row["id"], ()))) for row in rows]


async def _parts(session: AsyncSession, ids: Collection[str]) -> Mapping[str, Sequence[ErasurePart]]:
    query = (
        sa.select(erasure_parts).where(erasure_parts.c.erasure_id.in_(ids)).order_by(erasure_parts.c.service)
    )
    found: dict[str, list[ErasurePart]] = {}
    for row in await session.execute(query):
        found.setdefault(row.erasure_id, []).append(
            ErasurePart(row.service, row.attempt, row.rows, row.forgotten_at)
        )
    return found
