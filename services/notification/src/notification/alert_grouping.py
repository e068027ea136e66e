"""When a phone may hear of a branch again, and what it is told: many faults become one alert that counts.

A lone fault is told at once. What follows within a minute joins the same alert, which is updated after 1, 2,
4 and then every 5 seconds, always with the number of all faults so far: a storm costs a phone some dozen
updates a minute, and no fault waits for long. Each branch has an alert of its own on a phone.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

GAPS = tuple(timedelta(seconds=seconds) for seconds in (1, 2, 4, 5))
FOLD = timedelta(seconds=60)
LONGEST = timedelta(minutes=10)
"""A burst that goes on longer becomes a second alert: the first may have been wiped away."""
RING_EVERY = timedelta(seconds=15)
RINGS_A_MINUTE = 10
MINUTE = timedelta(minutes=1)
NAMED = 5
NAMES_BYTES = 1_000


@dataclass(frozen=True)
class Burst:
    """One alert on one phone.

    Attributes:
        tag: by which the phone knows that an update replaces the alert.
        pushed_at: when it was last shown; ``None`` if it never was.
        pushes: how often it was shown.
    """

    tag: str
    began_at: datetime
    pushed_at: datetime | None = None
    pushes: int = 0


def burst_of(burst: Burst | None, *, tag: str, now: datetime) -> Burst:
    """Return the burst that faults which wait now belong to: the one that runs, or a new one."""
    if burst is not None and runs(burst, now):
        return burst
    return Burst(tag, now)


def runs(burst: Burst, now: datetime) -> bool:
    """Whether a fault of now is told by updating this alert."""
    if burst.pushed_at is None:
        return True
    return now - burst.pushed_at < FOLD and now - burst.began_at < LONGEST


def shown(burst: Burst, now: datetime) -> Burst:
    """Return the burst after the phone's service took its alert."""
    return Burst(burst.tag, burst.began_at, now, burst.pushes + 1)


def quiet_until(burst: Burst) -> datetime | None:
    """Return when the alert may be updated next; ``None``: at once."""
    if burst.pushed_at is None:
        return None
    return burst.pushed_at + GAPS[min(burst.pushes, len(GAPS)) - 1]


def rings(
    burst: Burst, now: datetime, *, of_branch: Sequence[datetime], of_phone: Sequence[datetime]
) -> bool:
    """Whether this alert makes a sound, or is only shown.

    Args:
        of_branch: when the phone rang for this branch lately.
        of_phone: when it rang for any branch lately.
    """
    if sum(now - each < MINUTE for each in of_phone) >= RINGS_A_MINUTE:
        return False
    return burst.pushes == 0 or all(now - each >= RING_EVERY for each in of_branch)


@dataclass(frozen=True)
class Told:
    """One fault as an alert counts it.

    Attributes:
        count: troubles that the fault stands for.
        waiting: whether the phone has not been told of it yet.
    """

    notification_id: str
    event_id: str
    equipment_id: str
    equipment_kind: str
    since: datetime
    count: int
    waiting: bool


@dataclass(frozen=True)
class Summary:
    """What one alert says.

    Attributes:
        names: the equipment, newest first, each once.
        kind: of all of it, if it is one.
        faults: how many there are in all.
    """

    names: tuple[str, ...]
    kind: str | None
    faults: int
    since: datetime

    @property
    def machines(self) -> int:
        """How many pieces of equipment."""
        return len(self.names)

    @property
    def listed(self) -> str:
        """As many names as a push has room for, with commas."""
        listed: list[str] = []
        room = NAMES_BYTES
        for name in self.names:
            room -= len(name.encode()) + 1
            if room < 0:
                break
            listed.append(name)
        return ",".join(listed)


def summary(faults: Sequence[Told]) -> Summary:
    """Sum up the faults of a burst, of which there is one at least, given oldest first."""
    # What the phone has not been told of comes first: the list may be cut.
    newest_first = [
        fault for waiting in (True, False) for fault in reversed(faults) if fault.waiting is waiting
    ]
    kinds = Counter(fault.equipment_kind for fault in faults)
    return Summary(
        names=tuple(dict.fromkeys(fault.equipment_id for fault in newest_first)),
        kind=next(iter(kinds)) if len(kinds) == 1 else None,
        faults=sum(fault.count for fault in faults),
        since=min(fault.since for fault in faults),
    )
