"""When a sample happened, as far as its machine's clock can be believed. Pure rules.

A sample cannot come from the future, so it happened when it says or when it arrived, whichever is earlier.
One that happened before the newest that is known is either late or from a clock that was set back; one alone
does not tell which. A clock that was set back goes on from there: what comes in that order for a minute, with
nothing of the old time between, is taken for the machine's time from then on.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

FUTURE = timedelta(minutes=5)
TOO_OLD = timedelta(hours=24)
LATE = timedelta(minutes=2)
SET_BACK_FOR = timedelta(seconds=60)


class Standing(Enum):
    """Where a sample stands among those that are known.

    ``CURRENT`` is the newest and fresh; ``LATE`` is the newest, but it was kept for a while on its way;
    ``BACK`` happened before the newest that is known.
    """

    CURRENT = "current"
    LATE = "late"
    BACK = "back"


@dataclass(frozen=True)
class Timeline:
    """What is remembered of a machine's times.

    Attributes:
        newest: when the newest sample happened.
        back_at: when the last of a run of samples happened that all lie before the newest, if one goes on.
        back_since: when that run began, by the clock here.
    """

    newest: datetime | None = None
    back_at: datetime | None = None
    back_since: datetime | None = None


@dataclass(frozen=True)
class Placed:
    """Where one sample stands.

    Attributes:
        clock_off: its time is not to be trusted.
        set_back: with it the machine's time is taken to have been set back.
    """

    happened_at: datetime
    standing: Standing
    clock_off: bool = False
    set_back: bool = False


def is_off(recorded_at: datetime, now: datetime) -> bool:
    """Whether a time alone shows that its clock is wrong."""
    return not now - TOO_OLD <= recorded_at <= now + FUTURE


def place(timeline: Timeline, recorded_at: datetime, now: datetime) -> tuple[Timeline, Placed]:
    """Place a sample that arrives now; samples of one delivery come in their own order."""
    happened_at = min(recorded_at, now)
    off = is_off(recorded_at, now)
    standing = Standing.LATE if now - happened_at > LATE else Standing.CURRENT
    if timeline.newest is None or happened_at >= timeline.newest:
        return Timeline(happened_at), Placed(happened_at, standing, off)
    goes_on = timeline.back_at is not None and happened_at >= timeline.back_at
    since = timeline.back_since if goes_on and timeline.back_since is not None else now
    if now - since >= SET_BACK_FOR:
        return Timeline(happened_at), Placed(happened_at, standing, clock_off=True, set_back=True)
    went = replace(timeline, back_at=happened_at, back_since=since)
    return went, Placed(happened_at, Standing.BACK, clock_off=True)
