"""How faults are grouped into alerts: when a phone may be updated, and what it is told. Pure rules.

A lone fault alerts at once. What follows within a minute joins the same alert, which is updated after 1, 2, 4
and then every 5 seconds, always with the number of all faults so far: a storm costs a phone about a dozen
updates a minute, and no fault waits for long. On a phone each branch has its own alert.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

UPDATE_INTERVALS = tuple(timedelta(seconds=seconds) for seconds in (1, 2, 4, 5))
JOIN_WITHIN = timedelta(seconds=60)
MAX_DURATION = timedelta(minutes=10)
"""A group that goes on longer gets a second alert: the first may have been wiped away."""
SOUND_EVERY = timedelta(seconds=15)
SOUNDS_A_MINUTE = 10
MINUTE = timedelta(minutes=1)
NAMES_IN_TEXT = 5
MAX_NAMES_BYTES = 1_000


@dataclass(frozen=True)
class AlertGroup:
    """Faults that one alert on one phone tells.

    Attributes:
        tag: tells the phone which alert an update replaces.
        pushed_at: when it was last shown; ``None`` if it never was.
        pushes: how often it was shown.
    """

    tag: str
    began_at: datetime
    pushed_at: datetime | None = None
    pushes: int = 0

    def is_open(self, now: datetime) -> bool:
        """Whether a new fault is told by updating this alert."""
        if self.pushed_at is None:
            return True
        return now - self.pushed_at < JOIN_WITHIN and now - self.began_at < MAX_DURATION

    def after_push(self, now: datetime) -> "AlertGroup":
        """Return the group after the phone's service took its alert."""
        return AlertGroup(self.tag, self.began_at, now, self.pushes + 1)

    def next_update_at(self) -> datetime | None:
        """Return when the alert may be updated next; ``None``: at once."""
        if self.pushed_at is None:
            return None
        return self.pushed_at + UPDATE_INTERVALS[min(self.pushes, len(UPDATE_INTERVALS)) - 1]

    def makes_sound(
        self, now: datetime, *, of_branch: Sequence[datetime], of_phone: Sequence[datetime]
    ) -> bool:
        """Whether this alert makes a sound, or is only shown.

        Args:
            of_branch: when the phone made a sound for this branch lately.
            of_phone: when it did for any branch lately.
        """
        if sum(now - each < MINUTE for each in of_phone) >= SOUNDS_A_MINUTE:
            return False
        return self.pushes == 0 or all(now - each >= SOUND_EVERY for each in of_branch)


def group_for(current: AlertGroup | None, *, tag: str, now: datetime) -> AlertGroup:
    """Return the group that faults of now belong to: the current one while it is open, or a new one."""
    if current is not None and current.is_open(now):
        return current
    return AlertGroup(tag, now)


@dataclass(frozen=True)
class GroupedFault:
    """One fault, as counted in an alert.

    Attributes:
        count: faults that it stands for.
        waiting: whether the phone has not been told of it yet.
        escalated_at: when it was passed on to the phone's owner, if it was.
        traceparent: of the trace in which it became known.
    """

    notification_id: str
    event_id: str
    equipment_id: str
    equipment_kind: str
    since: datetime
    count: int
    waiting: bool
    escalated_at: datetime | None = None
    traceparent: str | None = None

    @property
    def news_at(self) -> datetime:
        """Since when the phone's owner should know of it."""
        return self.escalated_at or self.since


@dataclass(frozen=True)
class GroupSummary:
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
        """How many pieces of equipment are faulty."""
        return len(self.names)

    @property
    def listed(self) -> str:
        """As many names as fit into a push, comma-separated."""
        listed: list[str] = []
        room = MAX_NAMES_BYTES
        for name in self.names:
            room -= len(name.encode()) + 1
            if room < 0:
                break
            listed.append(name)
        return ",".join(listed)


def summarise(faults: Sequence[GroupedFault]) -> GroupSummary:
    """Sum up the faults of a group, at least one, given oldest first."""
    # Untold faults first: the list may be cut.
    newest_first = [
        fault for waiting in (True, False) for fault in reversed(faults) if fault.waiting is waiting
    ]
    kinds = Counter(fault.equipment_kind for fault in faults)
    return GroupSummary(
        names=tuple(dict.fromkeys(fault.equipment_id for fault in newest_first)),
        kind=next(iter(kinds)) if len(kinds) == 1 else None,
        faults=sum(fault.count for fault in faults),
        since=min(fault.since for fault in faults),
    )
