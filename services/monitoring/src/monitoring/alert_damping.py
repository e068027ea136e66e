"""How often one machine may alert people. Pure rules.

A fault that returns soon after its alert waits out a quiet period, which doubles with each alert and is short
again once the machine has been calm. Besides, a machine has a few alerts to spend and gets another every few
minutes: a calm machine's new fault alerts at once, whatever other machines do. What waits alerts later, if it
is still open by then, and says how many faults it stands for.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

MAX_QUIET_PERIODS = 32
MAX_SINGLE_ALERTS = 3
"""So many faults of one machine that are due together alert one by one; more share one alert."""


@dataclass(frozen=True)
class DampingPolicy:
    """The limits on a machine's alerts.

    Attributes:
        max_alerts: what a calm machine has to spend.
        refill_every: when it gets another.
        quiet: the first quiet period of a fault; zero for none.
        longest_quiet: quiet periods grow to this.
    """

    max_alerts: int = 8
    refill_every: timedelta = timedelta(minutes=5)
    quiet: timedelta = timedelta(seconds=60)
    longest_quiet: timedelta = timedelta(hours=1)

    @property
    def max_alerts_an_hour(self) -> int:
        """No machine alerts more often in any hour."""
        return self.max_alerts + int(timedelta(hours=1) / self.refill_every) + 1


@dataclass(frozen=True)
class QuietPeriod:
    """What is remembered of a fault after its alert.

    Attributes:
        until: it does not alert again before this.
        duration: how long this period is.
        suppressed: how often the fault has begun since its alert.
    """

    until: datetime
    duration: timedelta
    suppressed: int = 0


@dataclass(frozen=True)
class DampingState:
    """What is remembered of a machine's alerts: how many are spent as of when, and which faults are quiet."""

    spent: float = 0.0
    as_of: datetime | None = None
    quiet: Mapping[str, QuietPeriod] = field(default_factory=dict)


@dataclass(frozen=True)
class AlertPlan:
    """When a fault may alert, and how many of its beginnings that alert stands for."""

    due_at: datetime
    count: int


def plan_alert(state: DampingState, fault: str, now: datetime) -> tuple[DampingState, AlertPlan]:
    """Plan the alert of a fault that begins now."""
    known = state.quiet.get(fault)
    if known is None:
        return state, AlertPlan(now, 1)
    known = replace(known, suppressed=known.suppressed + 1)
    plan = AlertPlan(max(now, known.until), known.suppressed)
    return replace(state, quiet={**state.quiet, fault: known}), plan


def next_alert_at(state: DampingState, now: datetime, policy: DampingPolicy) -> datetime:
    """When the machine has an alert to spend: now, unless it has spent them all."""
    missing = _spent(state, now, policy) + 1 - policy.max_alerts
    return now if missing <= 0 else now + missing * policy.refill_every


def spend_alert(
    state: DampingState, faults: Iterable[str], now: datetime, policy: DampingPolicy
) -> DampingState:
    """Spend one alert, on one or several faults; each of them is quiet from now on."""
    quiet = dict(state.quiet)
    for fault in faults:
        quiet[fault] = _next_quiet_period(quiet.get(fault), now, policy)
    latest = sorted(quiet.items(), key=lambda item: item[1].until)[-MAX_QUIET_PERIODS:]
    remembered = {name: known for name, known in latest if now < known.until + known.duration}
    return DampingState(_spent(state, now, policy) + 1, now, remembered)


def _spent(state: DampingState, now: datetime, policy: DampingPolicy) -> float:
    refilled = 0.0 if state.as_of is None else max(0.0, (now - state.as_of) / policy.refill_every)
    return max(0.0, state.spent - refilled)


def _next_quiet_period(known: QuietPeriod | None, now: datetime, policy: DampingPolicy) -> QuietPeriod:
    returned = known is not None and now < known.until + known.duration
    if known is not None and returned:
        duration = min(known.duration * 2, policy.longest_quiet)
    else:
        duration = policy.quiet
    return QuietPeriod(now + duration, duration)
