"""Queries about samples. Each works in its caller's transaction."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from pydantic_core import to_json
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, insert
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


_COLUMNS: dict[str, sa.types.TypeEngine[Any]] = {
    "branch_id": sa.Text(),
    "equipment_id": sa.Text(),
    "recorded_at": sa.DateTime(timezone=True),
    "fault_code": sa.Text(),
    "metrics": sa.Text(),
}
_given = (
    sa.func.unnest(*(sa.bindparam(f"given_{name}", type_=ARRAY(kind)) for name, kind in _COLUMNS.items()))
    .table_valued(*(sa.column(name, kind) for name, kind in _COLUMNS.items()), name="given")
    .render_derived(name="given")
)
# One text however many there are, so that it is compiled and planned once.
_STORE = (
    insert(sample)
    .from_select(
        list(_COLUMNS),
        sa.select(
            *(_given.c[name] for name in _COLUMNS if name != "metrics"), sa.cast(_given.c.metrics, JSONB)
        ),
    )
    .on_conflict_do_nothing()
    .returning(sample.c.branch_id, sample.c.equipment_id, sample.c.recorded_at, sample.c.fault_code)
)


async def store_samples(session: AsyncSession, samples: Iterable[Sample]) -> set[SampleKey]:
    """Store samples; known ones are left alone.

    Returns:
        which are new.
    """
    rows = [
        (each.branch_id, each.equipment_id, each.recorded_at, each.fault_code, to_json(each.metrics).decode())
        for each in samples
    ]
    if not rows:
        return set()
    columns = zip(_COLUMNS, zip(*rows, strict=True), strict=True)
    stored = await session.execute(_STORE, {f"given_{name}": list(values) for name, values in columns})
    return {
        SampleKey(MachineKey(branch_id, equipment_id), recorded_at, fault_code)
        for branch_id, equipment_id, recorded_at, fault_code in stored
    }
