"""Whose push is next."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from notification.push_scheduling import Capacity, DueAlert, choose_fairly


def choose(waiting: list[DueAlert], **changes: int) -> list[DueAlert]:
    capacity = Capacity(changes.get("first_tries", 10), changes.get("retries", 10))
    per_branch = changes.get("per_branch", 10)
    return choose_fairly(waiting, busy_phones=(), busy_branches={}, capacity=capacity, per_branch=per_branch)


def test_a_branch_with_one_fault_comes_second_and_not_last() -> None:
    storm = [DueAlert(f"storm-{number}", "storm", 0) for number in range(50)]
    chosen = choose([*storm, DueAlert("calm", "calm", 0)], first_tries=4)
    assert [each.branch_id for each in chosen] == ["storm", "calm", "storm", "storm"]


def test_a_branch_has_no_more_in_hand_than_its_share() -> None:
    storm = [DueAlert(f"storm-{number}", "storm", 0) for number in range(50)]
    assert len(choose(storm, per_branch=3)) == 3
    held = choose_fairly(
        storm, busy_phones=(), busy_branches={"storm": 3}, capacity=Capacity(9, 9), per_branch=3
    )
    assert held == []


def test_phones_that_do_not_answer_leave_room_for_those_that_may() -> None:
    hanging = [DueAlert(f"hanging-{number}", f"b{number}", 3) for number in range(50)]
    chosen = choose([*hanging, DueAlert("fresh", "b0", 0)], retries=2)
    assert Counter(each.failures for each in chosen) == {3: 2, 0: 1}


def test_a_push_service_that_is_away_gets_a_few_and_the_others_go_on() -> None:
    apple = [DueAlert(f"https://web.push.apple.com/{number}", f"b{number}", 0) for number in range(20)]
    apple += [DueAlert(f"https://web.push.apple.com/again-{number}", "b0", 1) for number in range(20)]
    others = [DueAlert("https://fcm.googleapis.com/fcm/send/1", "b1", 2), DueAlert("phone", "b2", 0)]
    chosen = choose_fairly(
        [*apple, *others],
        busy_phones=(),
        busy_branches={},
        capacity=Capacity(10, 10),
        per_branch=10,
        held_back={"web.push.apple.com": Capacity(2, 0)},
    )
    assert Counter(each.service for each in chosen) == {
        "web.push.apple.com": 2,
        "fcm.googleapis.com": 1,
        "fcm": 1,
    }


WAITING = st.builds(
    DueAlert, st.sampled_from("pqrstuvw"), st.sampled_from(["b1", "b2", "b3", "b4"]), st.integers(0, 2)
)


@given(
    st.lists(WAITING, max_size=40, unique_by=lambda each: (each.token, each.branch_id)),
    st.sets(st.sampled_from("pqrstuvw")),
    st.dictionaries(st.sampled_from(["b1", "b2", "b3", "b4"]), st.integers(0, 4)),
    st.integers(0, 8),
    st.integers(0, 8),
    st.integers(1, 4),
)
def test_nobody_gets_more_than_his_turn(
    waiting: list[DueAlert],
    busy: set[str],
    branches: dict[str, int],
    first: int,
    again: int,
    per_branch: int,
) -> None:
    chosen = choose_fairly(
        waiting,
        busy_phones=busy,
        busy_branches=branches,
        capacity=Capacity(first, again),
        per_branch=per_branch,
    )
    tokens = [each.token for each in chosen]
    assert len(tokens) == len(set(tokens))
    assert not busy & set(tokens)
    assert sum(each.failures == 0 for each in chosen) <= first
    assert sum(each.failures > 0 for each in chosen) <= again
    in_hand = Counter(each.branch_id for each in chosen)
    for branch in in_hand:
        assert in_hand[branch] + branches.get(branch, 0) <= per_branch
    # Whoever was left out had no room, a phone in use, or a branch with its share.
    for each in set(waiting) - set(chosen):
        full = first if each.failures == 0 else again
        used = sum((other.failures == 0) == (each.failures == 0) for other in chosen)
        assert (
            each.token in busy
            or each.token in tokens
            or used == full
            or in_hand[each.branch_id] + branches.get(each.branch_id, 0) >= per_branch
        )
