"""Queries of training runs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from pydantic import TypeAdapter
from sqlalchemy.ext.asyncio import AsyncSession

from laundry_events import new_id
from laundry_learning.curation import LabelQuality
from mlops.examples import ConfirmedReading, StoredLabelQuality
from mlops.repository.rows import read, read_all, read_first
from mlops.retraining import NewExamples
from mlops.runs import Decision, Kind, LogLine, Status, TrainingRun, sources_of
from mlops.tables import example_branches, training_examples, training_run_log, training_runs

MOST_LINES = 500
POLICY_LOCK = 0x1A0D33
RUN = TypeAdapter(TrainingRun)
LINE = TypeAdapter(LogLine)
READING = TypeAdapter(ConfirmedReading)
QUALITY = TypeAdapter(dict[str, StoredLabelQuality])


async def add_run(session: AsyncSession, kind: Kind, *, requested_by: str) -> TrainingRun:
    """Queue a training run."""
    added = await session.execute(
        sa.insert(training_runs)
        .values(id=new_id(), kind=kind, requested_by=requested_by)
        .returning(*training_runs.c)
    )
    return read(RUN, added.mappings().one())


async def get_run(session: AsyncSession, run_id: str) -> TrainingRun | None:
    """Find a training run."""
    return read_first(
        RUN, await session.execute(sa.select(training_runs).where(training_runs.c.id == run_id))
    )


async def get_runs(session: AsyncSession, run_ids: Sequence[str]) -> list[TrainingRun]:
    """Find the training runs that exist among these ids."""
    found = await session.execute(sa.select(training_runs).where(training_runs.c.id.in_(run_ids)))
    return read_all(RUN, found.mappings())


async def list_runs(session: AsyncSession, *, limit: int, before: str | None) -> list[TrainingRun]:
    """List training runs, newest first."""
    query = sa.select(training_runs).order_by(training_runs.c.id.desc()).limit(limit)
    if before is not None:
        query = query.where(training_runs.c.id < before)
    return read_all(RUN, (await session.execute(query)).mappings())


async def open_runs(session: AsyncSession, status: Status) -> list[TrainingRun]:
    """List the runs of a status, oldest first."""
    columns = training_runs.c
    # By the database's clock; ids are made by those of the services.
    query = sa.select(training_runs).where(columns.status == status).order_by(columns.created_at, columns.id)
    return read_all(RUN, (await session.execute(query)).mappings())


async def move_run(
    session: AsyncSession,
    run_id: str,
    target: Status,
    *,
    attempt: int | None = None,
    error: str | None = None,
    decision: Decision | None = None,
    model_version: str | None = None,
) -> bool:
    """Let a run become ``target``; false if it is in no status that may.

    Args:
        attempt: the only one that the caller knows of; nothing changes if another has begun. None: any.
        error: why it failed.
        decision, model_version: what came of one that succeeded.
    """
    values: dict[str, Any] = {}
    if target == "running":
        values = {"started_at": sa.func.now(), "attempts": training_runs.c.attempts + 1}
    elif target == "queued":
        values = {"started_at": None, "progress": 0.0}
    else:
        values = {"finished_at": sa.func.now()}
    if target == "failed":
        values["error"] = error
    elif target == "succeeded":
        kept = None if decision is None else decision.model_dump(mode="json")
        values |= {"progress": 1.0, "model_version": model_version, "decision": kept}
    moved = await session.execute(
        sa.update(training_runs)
        .where(
            training_runs.c.id == run_id,
            training_runs.c.status.in_(sources_of(target)),
            _of_attempt(attempt),
        )
        .values(status=target, **values)
        .returning(training_runs.c.id)
    )
    return moved.first() is not None


def _of_attempt(attempt: int | None) -> sa.ColumnElement[bool]:
    return sa.true() if attempt is None else training_runs.c.attempts == attempt


async def report_progress(
    session: AsyncSession, run_id: str, progress: float, *, attempt: int | None = None
) -> bool:
    """Note how far a running run is, 0..1; false if it, or this attempt of it, is not running any more."""
    noted = await session.execute(
        sa.update(training_runs)
        .where(training_runs.c.id == run_id, training_runs.c.status == "running", _of_attempt(attempt))
        .values(progress=min(1.0, max(0.0, progress)))
        .returning(training_runs.c.id)
    )
    return noted.first() is not None


async def lock_policy(session: AsyncSession) -> None:
    """Serialise replicas' decisions on runs until the transaction ends."""
    await session.execute(sa.select(sa.func.pg_advisory_xact_lock(POLICY_LOCK)))


async def any_open_run(session: AsyncSession) -> bool:
    """Whether a run is queued or running."""
    query = sa.select(sa.literal(1)).where(training_runs.c.status.in_(("queued", "running"))).limit(1)
    return (await session.execute(query)).first() is not None


async def since_last_run(session: AsyncSession) -> NewExamples:
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
        # Both times are the database's: ids are made by clocks that may be minutes away from it.
        query = query.where(columns.created_at > last)
    counted = (await session.execute(query)).one()
    return NewExamples(counted.examples, counted.corrections, last)


async def failures_in_a_row(session: AsyncSession) -> int:
    """Count the runs that failed since the last one that succeeded; cancelled ones count as neither."""
    columns = training_runs.c
    good = sa.select(sa.func.max(columns.created_at)).where(columns.status == "succeeded").scalar_subquery()
    query = sa.select(sa.func.count()).where(
        columns.status == "failed", sa.or_(good.is_(None), columns.created_at > good)
    )
    return int((await session.execute(query)).scalar_one())


async def newest_readings(session: AsyncSession, *, limit: int) -> list[ConfirmedReading]:
    """List the newest examples: what a model read, what was confirmed, whether it differs; newest first."""
    columns = training_examples.c
    chosen = (columns.read_labels, columns.labels, columns.corrected)
    query = sa.select(*chosen).order_by(columns.id.desc()).limit(limit)
    return read_all(READING, (await session.execute(query)).mappings())


async def note(session: AsyncSession, run_id: str, text: str) -> None:
    """Add a line to a run's log."""
    await session.execute(sa.insert(training_run_log).values(id=new_id(), run_id=run_id, text=text[:2000]))


async def run_log(session: AsyncSession, run_id: str) -> list[LogLine]:
    """Return the last lines of a run's log, in their order."""
    query = (
        sa.select(training_run_log.c.created_at, training_run_log.c.text)
        .where(training_run_log.c.run_id == run_id)
        .order_by(training_run_log.c.id.desc())
        .limit(MOST_LINES)
    )
    return read_all(LINE, reversed((await session.execute(query)).mappings().all()))


async def note_label_quality(session: AsyncSession, run_id: str, care: Mapping[str, LabelQuality]) -> None:
    """Keep how each person labels, as a run saw it."""
    kept = {owner: {**asdict(each), "careless": each.careless} for owner, each in care.items()}
    await session.execute(sa.update(training_runs).where(training_runs.c.id == run_id).values(care=kept))


async def latest_label_quality(session: AsyncSession) -> dict[str, StoredLabelQuality]:
    """Return how each person labels, as the newest run that looked saw it."""
    query = sa.select(training_runs.c.care).where(training_runs.c.care.is_not(None))
    found = await session.execute(query.order_by(training_runs.c.id.desc()).limit(1))
    return QUALITY.validate_python(found.scalar() or {})
