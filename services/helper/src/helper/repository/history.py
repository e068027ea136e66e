"""Queries about past tasks: a search in them, and what a branch has washed."""

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from helper.history import Day, Period, Search, Washed
from helper.tables import tasks

# An id is made right after the time of submission is taken. It is compared first, because it is what the
# indexes are ordered by; the time itself then decides.
APART = timedelta(minutes=1)
EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
LAST_MILLISECOND = 2**48 - 1


def conditions(search: Search) -> list[sa.ColumnElement[bool]]:
    """Return what a task must fulfil to be found."""
    wanted = _within(search.period)
    if search.label is not None:
        wanted.append(tasks.c.confirmed_labels.contains([{"label": search.label}]))
    if search.note is not None:
        wanted.append(tasks.c.note.icontains(search.note, autoescape=True))
    if search.helper is not None:
        wanted.append(tasks.c.helper_id.icontains(search.helper, autoescape=True))
    return wanted


def _within(period: Period) -> list[sa.ColumnElement[bool]]:
    wanted: list[sa.ColumnElement[bool]] = []
    if period.since is not None:
        wanted += [tasks.c.id >= first_id_at(period.since, -APART), tasks.c.submitted_at >= period.since]
    if period.until is not None:
        wanted += [tasks.c.id < first_id_at(period.until, APART), tasks.c.submitted_at < period.until]
    return wanted


def first_id_at(moment: datetime, by: timedelta) -> str:
    """Return the lowest UUIDv7 of a moment, moved by a little."""
    milliseconds = ((moment - EPOCH) + by) // timedelta(milliseconds=1)
    return str(UUID(int=min(max(milliseconds, 0), LAST_MILLISECOND) << 80))


async def washed(
    connection: AsyncConnection, branches: Collection[str] | None, period: Period, zone: str
) -> tuple[list[Day], list[Washed]]:
    """Count the confirmed loads of some branches (None: of all), by day and by day and class.

    Args:
        zone: the days are those of this time zone (a name of the IANA database).
    """
    day = sa.cast(sa.func.timezone(zone, tasks.c.submitted_at), sa.Date).label("day")
    of_these = [tasks.c.status == "confirmed", *_within(period)]
    if branches is not None:
        of_these.append(tasks.c.branch_id.in_(branches))
    loads = sa.func.count().label("loads")
    corrected = sa.func.count().filter(tasks.c.corrected).label("corrected")
    by_day = sa.select(day, loads, corrected).where(*of_these).group_by(day).order_by(day)
    elements = sa.func.jsonb_array_elements(tasks.c.confirmed_labels)
    garment = elements.table_valued(sa.column("value", JSONB)).lateral("garment")
    label = garment.c.value["label"].astext.label("label")
    pieces = sa.func.sum(garment.c.value["count"].astext.cast(sa.Integer)).label("pieces")
    by_class = (
        sa.select(day, label, pieces, loads, corrected)
        .select_from(tasks.join(garment, sa.true()))
        .where(*of_these)
        .group_by(day, label)
        .order_by(day, label)
    )
    days = [Day(**row._asdict()) for row in await connection.execute(by_day)]
    classes = [Washed(**row._asdict()) for row in await connection.execute(by_class)]
    return days, classes
