"""When equipment is faulty, and when it no longer is. Pure rules: no clock, no database, no framework.

A fault is a reported code, a limit broken for a while, or a heartbeat missed (DD-02 DG-05). Each has a key;
while a key is open the same trouble is the same fault, and only its clearing lets it be told again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

Cause = Literal["fault_code", "limit", "heartbeat"]
Side = Literal["max", "min"]


@dataclass(frozen=True)
class Key:
    """What makes two sightings the same fault: the code, or the metric and its side."""

    cause: Cause
    key: str


HEARTBEAT = Key("heartbeat", "")


@dataclass(frozen=True)
class Limit:
    """A bound of one metric.

    Attributes:
        value: beyond this the limit is broken (the value itself is still allowed).
        clear: a fault is over only at this value or better, so that a value on the edge does not flap.
    """

    metric: str
    side: Side
    value: float
    clear: float

    @property
    def key(self) -> Key:
        """The fault that breaking this limit makes."""
        return Key("limit", f"{self.metric}:{self.side}")

    def broken_by(self, value: float) -> bool:
        """Whether a value is beyond the limit."""
        return value > self.value if self.side == "max" else value < self.value

    def cleared_by(self, value: float) -> bool:
        """Whether a value is far enough inside for an open fault to be over."""
        return value <= self.clear if self.side == "max" else value >= self.clear


@dataclass(frozen=True)
class Reading:
    """What a sample says that matters to the rules."""

    recorded_at: datetime
    fault_code: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """What must be remembered of a piece of equipment between two samples.

    Attributes:
        open: the faults that are open.
        broken_since: when each limit was first broken, for those that every sample since has broken.
    """

    open: frozenset[Key] = frozenset()
    broken_since: Mapping[Key, datetime] = field(default_factory=dict)


@dataclass(frozen=True)
class Found:
    """A fault that began."""

    key: Key
    fault_code: str | None = None
    metric: str | None = None
    value: float | None = None
    limit: float | None = None


@dataclass(frozen=True)
class Verdict:
    """What a sample changes."""

    state: State
    opened: tuple[Found, ...] = ()
    cleared: tuple[tuple[Key, str], ...] = ()


def observe(state: State, reading: Reading, limits: Sequence[Limit], *, limit_for: timedelta) -> Verdict:
    """Judge the newest sample of a piece of equipment.

    Codes: one that is not open opens; all open ones clear with a sample that reports none. Another code does
    not clear the first, since a machine with two troubles reports them in turn.
    Limits: one opens when samples ``limit_for`` apart, and all between, break it; it clears at ``clear``.
    Heartbeat: any newer sample clears it. A sample without a metric says nothing about its limits.

    Args:
        state: as the samples before left it; the reading must be newer than all of them.
        limits: those of this kind of equipment.
    """
    opened: list[Found] = []
    cleared: list[tuple[Key, str]] = []
    if HEARTBEAT in state.open:
        cleared.append((HEARTBEAT, "heard-again"))
    _judge_code(state, reading, opened, cleared)
    limit_opened, limit_cleared, broken_since = _judge_limits(state, reading, limits, limit_for)
    opened += limit_opened
    cleared += limit_cleared
    still_open = (state.open - {key for key, _ in cleared}) | {found.key for found in opened}
    return Verdict(State(frozenset(still_open), broken_since), tuple(opened), tuple(cleared))


def _judge_code(state: State, reading: Reading, opened: list[Found], cleared: list[tuple[Key, str]]) -> None:
    if reading.fault_code is None:
        cleared += [(key, "code-gone") for key in sorted_keys(state.open) if key.cause == "fault_code"]
        return
    key = Key("fault_code", reading.fault_code)
    if key not in state.open:
        opened.append(Found(key, fault_code=reading.fault_code))


def _judge_limits(
    state: State, reading: Reading, limits: Sequence[Limit], limit_for: timedelta
) -> tuple[list[Found], list[tuple[Key, str]], dict[Key, datetime]]:
    known = {limit.key for limit in limits}
    gone = [key for key in sorted_keys(state.open) if key.cause == "limit" and key not in known]
    opened: list[Found] = []
    cleared = [(key, "limit-removed") for key in gone]
    broken_since: dict[Key, datetime] = {}
    for limit in limits:
        value = reading.metrics.get(limit.metric)
        since = state.broken_since.get(limit.key)
        if value is None:
            if since is not None:
                broken_since[limit.key] = since
            continue
        is_open = limit.key in state.open
        if is_open and limit.cleared_by(value):
            cleared.append((limit.key, "within-limit"))
        if not limit.broken_by(value):
            continue
        since = since or reading.recorded_at
        broken_since[limit.key] = since
        if not is_open and reading.recorded_at - since >= limit_for:
            opened.append(Found(limit.key, metric=limit.metric, value=value, limit=limit.value))
    return opened, cleared, broken_since


def sorted_keys(keys: frozenset[Key]) -> list[Key]:
    """Return keys in one order everywhere, so that rows are locked in one order too."""
    return sorted(keys, key=lambda key: (key.cause, key.key))
