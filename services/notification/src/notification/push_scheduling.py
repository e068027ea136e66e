"""Which push goes next: branches in turn, one push of a phone at a time, retries never before first tries."""

from collections import defaultdict, deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from notification.push import service_of


@dataclass(frozen=True)
class DueAlert:
    """A phone's alert of one branch that is due.

    Attributes:
        failures: tries in a row that failed; 0 has not been tried.
    """

    token: str
    branch_id: str
    failures: int

    @property
    def service(self) -> str:
        """The push service that it goes through."""
        return service_of(self.token)


@dataclass(frozen=True)
class Capacity:
    """How many more pushes may be in flight.

    First tries and retries are counted separately, so that phones which do not answer leave room for others.
    """

    first_tries: int
    retries: int


NOTHING_HELD_BACK: Mapping[str, Capacity] = {}


def choose_fairly(
    due: Sequence[DueAlert],
    *,
    busy_phones: Collection[str],
    busy_branches: Mapping[str, int],
    capacity: Capacity,
    per_branch: int,
    held_back: Mapping[str, Capacity] = NOTHING_HELD_BACK,
) -> list[DueAlert]:
    """Choose what is sent now, one alert of each branch after the other.

    Args:
        due: the longest due first.
        busy_phones: phones with a push in flight.
        busy_branches: how many pushes of a branch are in flight.
        per_branch: how many of one branch may be in flight.
        held_back: how much more may be sent through push services that are away.
    """
    phones = set(busy_phones)
    room = _Room(capacity, held_back)
    in_hand = defaultdict(int, busy_branches)
    by_branch: dict[str, deque[DueAlert]] = {}
    for each in due:
        by_branch.setdefault(each.branch_id, deque()).append(each)
    chosen: list[DueAlert] = []
    branches = deque(by_branch)
    while branches and room.is_left:
        branch = branches.popleft()
        if in_hand[branch] >= per_branch:
            continue
        alert = _next(by_branch[branch], phones, room)
        if alert is None:
            continue
        room.take(alert)
        phones.add(alert.token)
        in_hand[branch] += 1
        chosen.append(alert)
        branches.append(branch)
    return chosen


class _Room:
    """How many more first tries and retries there may be, in all and through services that are away."""

    def __init__(self, capacity: Capacity, held_back: Mapping[str, Capacity]) -> None:
        self._in_all = _by_kind(capacity)
        self._through = {service: _by_kind(left) for service, left in held_back.items()}

    @property
    def is_left(self) -> bool:
        return any(self._in_all.values())

    def admits(self, alert: DueAlert) -> bool:
        return all(left[alert.failures == 0] > 0 for left in self._of(alert))

    def take(self, alert: DueAlert) -> None:
        for left in self._of(alert):
            left[alert.failures == 0] -= 1

    def _of(self, alert: DueAlert) -> list[dict[bool, int]]:
        through = self._through.get(alert.service)
        return [self._in_all] if through is None else [self._in_all, through]


def _by_kind(capacity: Capacity) -> dict[bool, int]:
    return {True: capacity.first_tries, False: capacity.retries}


def _next(queue: deque[DueAlert], phones: Collection[str], room: _Room) -> DueAlert | None:
    while queue:
        alert = queue.popleft()
        if alert.token not in phones and room.admits(alert):
            return alert
    return None
