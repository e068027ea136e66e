"""When equipment is faulty, and when it no longer is. Pure rules: no clock, no database, no framework.

A fault is a reported code, a limit broken for a while, or a heartbeat missed (DD-02 DG-05). Each has a key;
while a key is open the same trouble is the same fault, and only its clearing lets it be told again. Codes
beyond so many at once are one fault together, which counts them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
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
MORE = Key("fault_code", "+more")
"""All codes beyond those that are faults of their own; no code is spelt like this."""
MOST_CODES = 500


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

    happened_at: datetime
    fault_code: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """What must be remembered of a piece of equipment between two samples.

    Attributes:
        open: the faults that are open.
        broken_since: when each limit was first broken, for those that every sample since has broken.
        more: the codes that ``MORE`` stands for, in the order of their coming.
        code_at: when the newest report of a code happened, while one is open.
        unsure: open faults that were reported from before what is known, so that they may be over already or
            the clock was set back: any sample without a code ends them.
    """

    open: frozenset[Key] = frozenset()
    broken_since: Mapping[Key, datetime] = field(default_factory=dict)
    more: tuple[str, ...] = ()
    code_at: datetime | None = None
    unsure: frozenset[Key] = frozenset()


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


def observe(
    state: State, reading: Reading, limits: Sequence[Limit], *, limit_for: timedelta, most_codes: int = 8
) -> Verdict:
    """Judge the newest sample of a piece of equipment.

    Codes: see ``observe_code``.
    Limits: one opens when samples ``limit_for`` apart, and all between, break it; it clears at ``clear``.
    Heartbeat: any sample clears it. A sample without a metric says nothing about its limits.

    Args:
        state: as the samples before left it.
        limits: those of this kind of equipment.
        most_codes: how many codes are faults of their own at a time.
    """
    verdict = observe_code(state, reading, most_codes=most_codes)
    opened, cleared, broken_since = _judge_limits(state, reading, limits, limit_for)
    return _changed(
        replace(verdict.state, broken_since=broken_since),
        (*verdict.opened, *opened),
        (*verdict.cleared, *cleared),
    )


def observe_code(state: State, reading: Reading, *, most_codes: int = 8) -> Verdict:
    """Judge only what a sample says by its code and by its coming at all.

    A code that is not open opens, beyond ``most_codes`` as one of ``MORE``. A sample that reports none ends
    all, unless it happened before the newest report of one. Another code does not end the first, since a
    machine with two troubles reports them in turn.
    """
    heard: tuple[tuple[Key, str], ...] = ((HEARTBEAT, "heard-again"),) if HEARTBEAT in state.open else ()
    codes = [key for key in sorted_keys(state.open) if key.cause == "fault_code"]
    at = reading.happened_at
    if reading.fault_code is None:
        ends = state.code_at is None or at >= state.code_at
        over = [key for key in codes if ends or key in state.unsure]
        left = state if len(over) < len(codes) else replace(state, code_at=None)
        if MORE in over:
            left = replace(left, more=())
        return _changed(left, (), (*heard, *((key, "code-gone") for key in over)))
    newest = at if state.code_at is None or not codes else max(at, state.code_at)
    opened, more = _opens(state, reading.fault_code, codes, most_codes)
    return _changed(replace(state, code_at=newest, more=more), opened, heard)


def _opens(
    state: State, code: str, codes: Sequence[Key], most_codes: int
) -> tuple[tuple[Found, ...], tuple[str, ...]]:
    key = Key("fault_code", code)
    if key in codes or code in state.more:
        return (), state.more
    if len([known for known in codes if known != MORE]) < most_codes:
        return (Found(key, fault_code=code),), state.more
    more = (*state.more, code) if len(state.more) < MOST_CODES else state.more
    return (() if MORE in codes else (Found(MORE, fault_code=code),)), more


def _changed(state: State, opened: tuple[Found, ...], cleared: tuple[tuple[Key, str], ...]) -> Verdict:
    gone = {key for key, _ in cleared}
    still_open = (state.open - gone) | {found.key for found in opened}
    return Verdict(replace(state, open=still_open, unsure=state.unsure - gone), opened, cleared)


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
        since = since or reading.happened_at
        broken_since[limit.key] = since
        if not is_open and reading.happened_at - since >= limit_for:
            opened.append(Found(limit.key, metric=limit.metric, value=value, limit=limit.value))
    return opened, cleared, broken_since


def sorted_keys(keys: frozenset[Key]) -> list[Key]:
    """Return keys in one order everywhere, so that rows are locked in one order too."""
    return sorted(keys, key=lambda key: (key.cause, key.key))
