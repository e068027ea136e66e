"""Queries about samples. Each works in its caller's transaction."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from monitoring.machine import MachineKey
from monitoring.tables import sample
from monitoring.telemetry import Sample


class SampleKey(NamedTuple):
    """What makes two samples the same one."""

    machine: MachineKey
    recorded_at: datetime
    fault_code: str | None


def key_of(sample: Sample) -> SampleKey:
    """Return the key of a sample."""
    return SampleKey(MachineKey(sample.branch_id, sample.equipment_id), sample.recorded_at, sample.fault_code)


async def store_samples(session: AsyncSession, samples: Iterable[Sample]) -> set[SampleKey]:
    """Store samples; known ones are left alone.

    Returns:
        which are new.
    """
    columns = ("branch_id", "equipment_id", "recorded_at", "fault_code", "metrics")
    rows = [{name: getattr(each, name) for name in columns} for each in samples]
    if not rows:
        return set()
    stored = await session.execute(
        insert(sample)
        .values(rows)
        .on_conflict_do_nothing()
        .returning(sample.c.branch_id, sample.c.equipment_id, sample.c.recorded_at, sample.c.fault_code)
    )
    return {
        SampleKey(MachineKey(row.branch_id, row.equipment_id), row.recorded_at, row.fault_code)
        for row in stored
    }
