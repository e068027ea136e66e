"""Queries of training runs."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from laundry_events import new_id
from mlops.repository.models import Row
from mlops.runs import Status, sources_of
from mlops.tables import example_branches, training_examples, training_run_log, training_runs

MOST_LINES = 500
POLICY_LOCK = 0x1A0D33


async def add_run(session: AsyncSession, kind: str, *, requested_by: str) -> Row:
    """Queue a training run."""
    added = await session.execute(
        sa.insert(training_runs)
        .values(id=new_id(), kind=kind, requested_by=requested_by)
        .returning(*training_runs.c)
    )
    return added.mappings().one()


async def get_run(session: AsyncSession, run_id: str) -> Row | None:
    """Find a training run."""
    found = await session.execute(sa.select(training_runs).where(training_runs.c.id == run_id))
    return found.mappings().first()


async def get_runs(session: AsyncSession, run_ids: Sequence[str]) -> Sequence[Row]:
    """Find those of the training runs that there are."""
    found = await session.execute(sa.select(training_runs).where(training_runs.c.id.in_(run_ids)))
    return found.mappings().all()


async def list_runs(session: AsyncSession, *, limit: int, before: str | None) -> Sequence[Row]:
    """List training runs, newest first."""
    query = sa.select(training_runs).order_by(training_runs.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(training_runs.c.id < before)
    return (await session.execute(query)).mappings().all()


async def open_runs(session: AsyncSession, status: Status) -> Sequence[Row]:
    """List the runs of a status, oldest first."""
    query = sa.select(training_runs).where(training_runs.c.status == status).order_by(training_runs.c.id)
    return (await session.execute(query)).mappings().all()


async def move_run(session: AsyncSession, run_id: str, target: Status, **values: Any) -> bool:
    """Let a run become ``target`` with further values; false if it is in no status that may."""
    if target == "running":
        values |= {"started_at": sa.func.now(), "attempts": training_runs.c.attempts + 1}
    elif target == "queued":
        values |= {"started_at": None, "progress": 0.0}
    else:
        values["finished_at"] = sa.func.now()
    moved = await session.execute(
        sa.update(training_runs)
        .where(training_runs.c.id == run_id, training_runs.c.status.in_(sources_of(target)))
        .values(status=target, **values)
        .returning(training_runs.c.id)
    )
    return moved.first() is not None


async def report_progress(session: AsyncSession, run_id: str, progress: float) -> bool:
    """Note how far a running run is, 0..1; false if it is not running any more."""
    noted = await session.execute(
        sa.update(training_runs)
        .where(training_runs.c.id == run_id, training_runs.c.status == "running")
        .values(progress=min(1.0, max(0.0, progress)))
        .returning(training_runs.c.id)
    )
    return noted.first() is not None


async def lock_policy(session: AsyncSession) -> None:
    """Let one replica at a time decide on a run, until the transaction ends."""
    await session.execute(sa.select(sa.func.pg_advisory_xact_lock(POLICY_LOCK)))


async def any_open_run(session: AsyncSession) -> bool:
    """Whether a run is queued or running."""
    query = sa.select(sa.literal(1)).where(training_runs.c.status.in_(("queued", "running"))).limit(1)
    return (await session.execute(query)).first() is not None


async def since_last_run(session: AsyncSession) -> dict[str, Any]:
    """Count examples and corrections of branches that teach since a run was last asked for."""
    last = (await session.execute(sa.select(sa.func.max(training_runs.c.created_at)))).scalar_one()
    columns = training_examples.c
    query = (
        sa.select(
            sa.func.count().label("examples"), sa.func.count().filter(columns.corrected).label("corrections")
        )
        .join(example_branches, example_branches.c.branch_id == columns.branch_id)
        .where(example_branches.c.side == "learning")
    )
    if last is not None:
        query = query.where(columns.created_at > last)
    return {**(await session.execute(query)).mappings().one(), "last_run_at": last}


async def failures_in_a_row(session: AsyncSession) -> int:
    """Count the runs that failed since the last one that succeeded; cancelled ones count as neither."""
    columns = training_runs.c
    good = sa.select(sa.func.max(columns.id)).where(columns.status == "succeeded").scalar_subquery()
    query = sa.select(sa.func.count()).where(
        columns.status == "failed", columns.id > sa.func.coalesce(good, "")
    )
    return int((await session.execute(query)).scalar_one())


async def newest_readings(session: AsyncSession, *, limit: int) -> Sequence[Row]:
    """List the newest examples: what a model read, what was confirmed, whether it differs; newest first."""
    columns = training_examples.c
    chosen = (columns.read_labels, columns.labels, columns.corrected)
    query = sa.select(*chosen).order_by(columns.id.desc()).limit(limit)
    return (await session.execute(query)).mappings().all()


async def note(session: AsyncSession, run_id: str, text: str) -> None:
    """Add a line to a run's log."""
    await session.execute(sa.insert(training_run_log).values(id=new_id(), run_id=run_id, text=text[:2000]))


async def run_log(session: AsyncSession, run_id: str) -> Sequence[Row]:
    """Return the last lines of a run's log, in their order."""
    query = (
        sa.select(training_run_log.c.created_at, training_run_log.c.text)
        .where(training_run_log.c.run_id == run_id)
        .order_by(training_run_log.c.id.desc())
        .limit(MOST_LINES)
    )
    return list(reversed((await session.execute(query)).mappings().all()))


async def note_care(session: AsyncSession, run_id: str, care: dict[str, Any]) -> None:
    """Keep how each person labels, as a run saw it."""
    await session.execute(sa.update(training_runs).where(training_runs.c.id == run_id).values(care=care))


async def latest_care(session: AsyncSession) -> dict[str, Any]:
    """Return how each person labels, as the newest run that looked saw it."""
    query = sa.select(training_runs.c.care).where(training_runs.c.care.is_not(None))
    return (await session.execute(query.order_by(training_runs.c.id.desc()).limit(1))).scalar() or {}
