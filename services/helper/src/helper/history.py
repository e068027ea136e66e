"""What a branch has washed: how past tasks are searched, and by which calendar days are told apart."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

MOST_DAYS = 366
EARLIEST, LATEST = date(1970, 1, 2), date(9998, 12, 31)


class BadPeriod(Exception):
    """The last day lies before the first, or the days are too many."""


@dataclass(frozen=True)
class Period:
    """A stretch of time: from ``since`` on and before ``until``; None is open."""

    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Search:
    """Which tasks are looked for; what is None or empty does not matter.

    Attributes:
        label: one that the owner confirmed.
        note: a part of the note, in any case of letters.
        helper: a part of the helper's id, in any case of letters.
        period: when the tasks were submitted.
    """

    label: str | None = None
    note: str | None = None
    helper: str | None = None
    period: Period = Period()


EVERYTHING = Search()


@dataclass(frozen=True)
class Day:
    """The confirmed loads of one day."""

    day: date
    loads: int
    corrected: int


@dataclass(frozen=True)
class Washed:
    """A class of laundry on one day: its pieces, the loads with it, and how many of those were corrected."""

    day: date
    label: str
    pieces: int
    loads: int
    corrected: int


def period_of(first: date | None, last: date | None, zone: ZoneInfo) -> Period:
    """Return the time from the start of the first day to the end of the last, as clocks in ``zone`` count.

    Raises:
        BadPeriod: they are in the wrong order, or outside the calendar that databases and zones agree on.
    """
    if any(day is not None and not EARLIEST <= day <= LATEST for day in (first, last)):
        raise BadPeriod(f"Days are from {EARLIEST} to {LATEST}.")
    if first is not None and last is not None and last < first:
        raise BadPeriod("The last day lies before the first.")
    return Period(_start_of(first, zone), _start_of(last and last + timedelta(days=1), zone))


def days_of(first: date | None, last: date | None, *, today: date, usual: int) -> tuple[date, date]:
    """Complete a choice of days: until today if no last day is said, and so many as is usual.

    Raises:
        BadPeriod: more than ``MOST_DAYS``.
    """
    end = last or max(first or today, today)
    start = first or max(end, EARLIEST + timedelta(days=usual)) - timedelta(days=usual - 1)
    if (end - start).days >= MOST_DAYS:
        raise BadPeriod(f"At most {MOST_DAYS} days at once.")
    return start, end


def _start_of(day: date | None, zone: ZoneInfo) -> datetime | None:
    return None if day is None else datetime.combine(day, time(), zone)
