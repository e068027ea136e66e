"""Whose push goes next: branches in turn, one push of a phone at a time, retries never before first tries."""

from collections import defaultdict, deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Waiting:
    """A phone's alert of one branch that is due.

    Attributes:
        failures: tries in a row that failed; 0 has not been tried.
    """

    token: str
    branch_id: str
    failures: int


def in_turn(
    waiting: Sequence[Waiting],
    *,
    busy_phones: Collection[str],
    busy_branches: Mapping[str, int],
    first_tries: int,
    retries: int,
    per_branch: int,
) -> list[Waiting]:
    """Choose what is sent now, one of each branch after the other.

    Args:
        waiting: the longest due first.
        busy_phones: phones with a push in hand.
        busy_branches: how many pushes of a branch are in hand.
        first_tries, retries: how many more of each may be in hand; apart, so that phones which do not answer
            leave room for those that may.
        per_branch: how many of one branch may be in hand.
    """
    phones = set(busy_phones)
    left = {True: first_tries, False: retries}
    in_hand = defaultdict(int, busy_branches)
    by_branch: dict[str, deque[Waiting]] = {}
    for each in waiting:
        by_branch.setdefault(each.branch_id, deque()).append(each)
    chosen: list[Waiting] = []
    turns = deque(by_branch)
    while turns and any(left.values()):
        branch = turns.popleft()
        if in_hand[branch] >= per_branch:
            continue
        next_one = _next(by_branch[branch], phones, left)
        if next_one is None:
            continue
        left[next_one.failures == 0] -= 1
        phones.add(next_one.token)
        in_hand[branch] += 1
        chosen.append(next_one)
        turns.append(branch)
    return chosen


def _next(line: deque[Waiting], phones: Collection[str], left: Mapping[bool, int]) -> Waiting | None:
    while line:
        each = line.popleft()
        if each.token not in phones and left[each.failures == 0] > 0:
            return each
    return None
