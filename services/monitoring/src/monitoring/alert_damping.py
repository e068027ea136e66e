"""How often one machine may ring. Pure rules.

A fault that comes again soon after it rang waits out a quiet time, which doubles with each ring and is short
again after a calm. Beside that, a machine has a few rings to spend, and gets another every few minutes: a
calm machine's new fault rings at once, whatever others do. What waits rings later, if it is still true then,
and says for how many it stands.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

REMEMBERED = 32
BURST = 3
"""As many faults of one machine ring one by one at a time; more of them ring as one."""


@dataclass(frozen=True)
class Rules:
    """The figures.

    Attributes:
        rings: rings that a calm machine has to spend.
        ring_every: when another comes.
        quiet: the first quiet time of a fault that rang; zero for none.
        longest: the longest quiet time.
    """

    rings: int = 8
    ring_every: timedelta = timedelta(minutes=5)
    quiet: timedelta = timedelta(seconds=60)
    longest: timedelta = timedelta(hours=1)

    @property
    def most_in_an_hour(self) -> int:
        """No machine rings more often in any hour."""
        return self.rings + int(timedelta(hours=1) / self.ring_every) + 1


@dataclass(frozen=True)
class Quiet:
    """What is remembered of a fault that rang.

    Attributes:
        until: before this it does not ring again.
        lasts: how long that quiet time is.
        unrung: how often it has begun since it rang.
    """

    until: datetime
    lasts: timedelta
    unrung: int = 0


@dataclass(frozen=True)
class Damping:
    """What is remembered of a machine's rings: how many are spent, as of when, and which are quiet."""

    spent: float = 0.0
    as_of: datetime | None = None
    quiet: Mapping[str, Quiet] = field(default_factory=dict)


def begins(damping: Damping, fault: str, now: datetime) -> tuple[Damping, datetime, int]:
    """A fault begins: when it may ring, and how many beginnings that ring will stand for."""
    known = damping.quiet.get(fault)
    if known is None:
        return damping, now, 1
    known = replace(known, unrung=known.unrung + 1)
    return replace(damping, quiet={**damping.quiet, fault: known}), max(now, known.until), known.unrung


def may_ring_at(damping: Damping, now: datetime, rules: Rules) -> datetime:
    """When the machine has a ring to spend: now, unless it has spent them all."""
    lacks = _spent(damping, now, rules) + 1 - rules.rings
    return now if lacks <= 0 else now + lacks * rules.ring_every


def rings(damping: Damping, faults: Iterable[str], now: datetime, rules: Rules) -> Damping:
    """One ring is spent, for one or several faults; each of them is quiet from now."""
    quiet = dict(damping.quiet)
    for fault in faults:
        quiet[fault] = _quiet(quiet.get(fault), now, rules)
    kept = sorted(quiet.items(), key=lambda item: item[1].until)[-REMEMBERED:]
    alive = {name: known for name, known in kept if now < known.until + known.lasts}
    return Damping(_spent(damping, now, rules) + 1, now, alive)


def _spent(damping: Damping, now: datetime, rules: Rules) -> float:
    back = 0.0 if damping.as_of is None else max(0.0, (now - damping.as_of) / rules.ring_every)
    return max(0.0, damping.spent - back)


def _quiet(known: Quiet | None, now: datetime, rules: Rules) -> Quiet:
    again = known is not None and now < known.until + known.lasts
    lasts = min(known.lasts * 2, rules.longest) if known is not None and again else rules.quiet
    return Quiet(now + lasts, lasts)
