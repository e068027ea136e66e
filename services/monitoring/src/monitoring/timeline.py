"""When a sample happened, as far as its machine's clock can be trusted. Pure rules.

A sample cannot come from the future, so its time is the stated or the arrival time, whichever is earlier.
One older than the newest known sample is either late or from a clock that was set back, and one alone does
not tell which. A clock that was set back keeps running: samples that arrive in order for a minute, with none
of the old time between them, set the machine's time from then on.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

MAX_AHEAD = timedelta(minutes=5)
MAX_AGE = timedelta(hours=24)
LATE_AFTER = timedelta(minutes=2)
SET_BACK_AFTER = timedelta(seconds=60)


class Order(Enum):
    """Where a sample stands among the known ones.

    ``CURRENT`` is the newest and fresh; ``LATE`` is the newest, but was held up on its way;
    ``OUT_OF_ORDER`` happened before the newest known one.
    """

    CURRENT = "current"
    LATE = "late"
    OUT_OF_ORDER = "out-of-order"


@dataclass(frozen=True)
class Timeline:
    """What is remembered about a machine's clock.

    Attributes:
        newest: when the newest sample happened.
        out_of_order_at: when the last sample of a run happened that lies wholly before the newest; ``None``
            while there is no such run.
        out_of_order_since: when that run began, by the service's clock.
    """

    newest: datetime | None = None
    out_of_order_at: datetime | None = None
    out_of_order_since: datetime | None = None


@dataclass(frozen=True)
class SampleTime:
    """When one sample happened.

    Attributes:
        clock_off: the machine's clock is wrong, or may be.
        clock_set_back: this sample shows that the machine's clock was set back.
    """

    happened_at: datetime
    order: Order
    clock_off: bool = False
    clock_set_back: bool = False


def is_clock_off(recorded_at: datetime, now: datetime) -> bool:
    """Whether a time alone shows that its clock is wrong."""
    return not now - MAX_AGE <= recorded_at <= now + MAX_AHEAD


def place_sample(timeline: Timeline, recorded_at: datetime, now: datetime) -> tuple[Timeline, SampleTime]:
    """Place a sample that arrives now; the samples of one delivery are placed in their own order."""
    happened_at = min(recorded_at, now)
    off = is_clock_off(recorded_at, now)
    order = Order.LATE if now - happened_at > LATE_AFTER else Order.CURRENT
    if timeline.newest is None or happened_at >= timeline.newest:
        return Timeline(happened_at), SampleTime(happened_at, order, off)
    continues = timeline.out_of_order_at is not None and happened_at >= timeline.out_of_order_at
    since = timeline.out_of_order_since if continues and timeline.out_of_order_since is not None else now
    if now - since >= SET_BACK_AFTER:
        return Timeline(happened_at), SampleTime(happened_at, order, clock_off=True, clock_set_back=True)
    run = replace(timeline, out_of_order_at=happened_at, out_of_order_since=since)
    return run, SampleTime(happened_at, Order.OUT_OF_ORDER, clock_off=True)
