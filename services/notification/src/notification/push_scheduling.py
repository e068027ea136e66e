"""Which push goes next: branches in turn, one push of a phone at a time, retries never before first tries."""

from collections import defaultdict, deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class DueAlert:
    """A phone's alert of one branch that is due.

    Attributes:
        failures: tries in a row that failed; 0 has not been tried.
    """

    token: str
    branch_id: str
    failures: int


@dataclass(frozen=True)
class Capacity:
    """How many more pushes may be in flight.

    First tries and retries are counted separately, so that phones which do not answer leave room for others.
    """

    first_tries: int
    retries: int


def choose_fairly(
    due: Sequence[DueAlert],
    *,
    busy_phones: Collection[str],
    busy_branches: Mapping[str, int],
    capacity: Capacity,
    per_branch: int,
) -> list[DueAlert]:
    """Choose what is sent now, one alert of each branch after the other.

    Args:
        due: the longest due first.
        busy_phones: phones with a push in flight.
        busy_branches: how many pushes of a branch are in flight.
        per_branch: how many of one branch may be in flight.
    """
    phones = set(busy_phones)
    left = {True: capacity.first_tries, False: capacity.retries}
    in_hand = defaultdict(int, busy_branches)
    by_branch: dict[str, deque[DueAlert]] = {}
    for each in due:
        by_branch.setdefault(each.branch_id, deque()).append(each)
    chosen: list[DueAlert] = []
    branches = deque(by_branch)
    while branches and any(left.values()):
        branch = branches.popleft()
        if in_hand[branch] >= per_branch:
            continue
        alert = _next(by_branch[branch], phones, left)
        if alert is None:
            continue
        left[alert.failures == 0] -= 1
        phones.add(alert.token)
        in_hand[branch] += 1
        chosen.append(alert)
        branches.append(branch)
    return chosen


def _next(queue: deque[DueAlert], phones: Collection[str], left: Mapping[bool, int]) -> DueAlert | None:
    while queue:
        alert = queue.popleft()
        if alert.token not in phones and left[alert.failures == 0] > 0:
            return alert
    return None
