"""When equipment becomes faulty and when it recovers. Pure rules: no clock, no database, no framework.

A fault is a reported code, a limit broken for a while, or a missed heartbeat (DD-02 DG-05). Each has a key:
while a key is open the same trouble is the same fault, and it can only begin again once it has cleared. Codes
above a maximum at once are one fault together, the overflow, which counts them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal

Cause = Literal["fault_code", "limit", "heartbeat"]
Side = Literal["max", "min"]


@dataclass(frozen=True)
class FaultKey:
    """Identity of a fault: the code, or the metric and which of its limits."""

    cause: Cause
    key: str

    def __str__(self) -> str:
        return f"{self.cause}/{self.key}"


HEARTBEAT = FaultKey("heartbeat", "")
OVERFLOW = FaultKey("fault_code", "+more")
"""All codes above the maximum; no code is spelled like this."""
MAX_OVERFLOW_CODES = 500


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
    def key(self) -> FaultKey:
        """The key of the fault raised by breaking this limit."""
        return FaultKey("limit", f"{self.metric}:{self.side}")

    def broken_by(self, value: float) -> bool:
        """Whether a value is beyond the limit."""
        return value > self.value if self.side == "max" else value < self.value

    def cleared_by(self, value: float) -> bool:
        """Whether a value is far enough inside for an open fault to be over."""
        return value <= self.clear if self.side == "max" else value >= self.clear


@dataclass(frozen=True)
class Observation:
    """The part of a sample that the rules need."""

    happened_at: datetime
    fault_code: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class FaultState:
    """What must be remembered of a machine's faults between two samples.

    Attributes:
        open: the faults that are open.
        broken_since: when each limit was first broken, for those that every sample since has broken.
        overflow_codes: the codes that ``OVERFLOW`` stands for, in the order in which they came.
        code_at: when the newest report of a code happened, while one is open.
        unconfirmed: open faults that were reported out of order, so that they may be over already or the
            clock was set back: any sample without a code ends them.
    """

    open: frozenset[FaultKey] = frozenset()
    broken_since: Mapping[FaultKey, datetime] = field(default_factory=dict)
    overflow_codes: tuple[str, ...] = ()
    code_at: datetime | None = None
    unconfirmed: frozenset[FaultKey] = frozenset()


@dataclass(frozen=True)
class FaultDetails:
    """A fault that began: its key and the code or figures that show it."""

    key: FaultKey
    fault_code: str | None = None
    metric: str | None = None
    value: float | None = None
    limit: float | None = None


@dataclass(frozen=True)
class Clearing:
    """A fault that is over, and why: ``code-gone``, ``within-limit``, ``limit-removed``, ``heard-again``."""

    key: FaultKey
    reason: str


@dataclass(frozen=True)
class Transition:
    """What a sample changes."""

    state: FaultState
    opened: tuple[FaultDetails, ...] = ()
    cleared: tuple[Clearing, ...] = ()


def evaluate(
    state: FaultState,
    observed: Observation,
    limits: Sequence[Limit],
    *,
    limit_for: timedelta,
    max_codes: int = 8,
) -> Transition:
    """Apply the newest sample of a machine.

    Codes: see ``evaluate_code``.
    Limits: one opens when samples ``limit_for`` apart, and all between, break it; it clears at ``clear``.
    Heartbeat: any sample clears it. A sample without a metric says nothing about its limits.

    Args:
        state: as the samples before left it.
        limits: those of this kind of equipment.
        max_codes: how many codes are faults of their own at a time.
    """
    by_code = evaluate_code(state, observed, max_codes=max_codes)
    by_limits = _evaluate_limits(state, observed, limits, limit_for)
    return _transition(
        replace(by_code.state, broken_since=by_limits.state.broken_since),
        (*by_code.opened, *by_limits.opened),
        (*by_code.cleared, *by_limits.cleared),
    )


def evaluate_code(state: FaultState, observed: Observation, *, max_codes: int = 8) -> Transition:
    """Apply only a sample's code and the fact that it came at all.

    A code that is not open opens, above ``max_codes`` as part of ``OVERFLOW``. A sample without a code ends
    them all, unless it happened before the newest report of one. Another code does not end the first, since a
    machine with two troubles reports them in turn.
    """
    heard = (Clearing(HEARTBEAT, "heard-again"),) if HEARTBEAT in state.open else ()
    codes = [key for key in sorted_keys(state.open) if key.cause == "fault_code"]
    at = observed.happened_at
    if observed.fault_code is None:
        is_newest = state.code_at is None or at >= state.code_at
        over = [key for key in codes if is_newest or key in state.unconfirmed]
        left = state if len(over) < len(codes) else replace(state, code_at=None)
        if OVERFLOW in over:
            left = replace(left, overflow_codes=())
        return _transition(left, (), (*heard, *(Clearing(key, "code-gone") for key in over)))
    newest = at if state.code_at is None or not codes else max(at, state.code_at)
    opened, overflow = _open_code(state, observed.fault_code, codes, max_codes)
    return _transition(replace(state, code_at=newest, overflow_codes=overflow), opened, heard)


def _open_code(
    state: FaultState, code: str, codes: Sequence[FaultKey], max_codes: int
) -> tuple[tuple[FaultDetails, ...], tuple[str, ...]]:
    key = FaultKey("fault_code", code)
    overflow = state.overflow_codes
    if key in codes or code in overflow:
        return (), overflow
    if len([known for known in codes if known != OVERFLOW]) < max_codes:
        return (FaultDetails(key, fault_code=code),), overflow
    if len(overflow) < MAX_OVERFLOW_CODES:
        overflow = (*overflow, code)
    return (() if OVERFLOW in codes else (FaultDetails(OVERFLOW, fault_code=code),)), overflow


def _transition(
    state: FaultState, opened: tuple[FaultDetails, ...], cleared: tuple[Clearing, ...]
) -> Transition:
    gone = {clearing.key for clearing in cleared}
    still_open = (state.open - gone) | {details.key for details in opened}
    return Transition(replace(state, open=still_open, unconfirmed=state.unconfirmed - gone), opened, cleared)


def _evaluate_limits(
    state: FaultState, observed: Observation, limits: Sequence[Limit], limit_for: timedelta
) -> Transition:
    known = {limit.key for limit in limits}
    removed = [key for key in sorted_keys(state.open) if key.cause == "limit" and key not in known]
    opened: list[FaultDetails] = []
    cleared = [Clearing(key, "limit-removed") for key in removed]
    broken_since: dict[FaultKey, datetime] = {}
    for limit in limits:
        value = observed.metrics.get(limit.metric)
        since = state.broken_since.get(limit.key)
        if value is None:
            if since is not None:
                broken_since[limit.key] = since
            continue
        is_open = limit.key in state.open
        if is_open and limit.cleared_by(value):
            cleared.append(Clearing(limit.key, "within-limit"))
        if not limit.broken_by(value):
            continue
        since = since or observed.happened_at
        broken_since[limit.key] = since
        if not is_open and observed.happened_at - since >= limit_for:
            opened.append(FaultDetails(limit.key, metric=limit.metric, value=value, limit=limit.value))
    return Transition(replace(state, broken_since=broken_since), tuple(opened), tuple(cleared))


def sorted_keys(keys: frozenset[FaultKey]) -> list[FaultKey]:
    """Return keys in a fixed order, so that rows are locked in a fixed order."""
    return sorted(keys, key=lambda key: (key.cause, key.key))
