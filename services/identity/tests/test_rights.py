"""Nobody comes by a right that nobody who has it gave, whatever is invited, accepted and taken away."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.people.rights import (
    MAX_BRANCHES,
    Actor,
    Refused,
    Right,
    accepted,
    check_invitation,
    check_operator_left,
    taken,
)

OPERATOR = Actor("boss", Right("operator"))
OWNER = Actor("owner", Right("owner", frozenset({"b1", "b2"})))

branches = st.frozensets(st.sampled_from(["b1", "b2", "b3"]))
rights = st.builds(Right, st.sampled_from(["helper", "owner", "operator", "customer"]), branches)
actors = st.builds(Actor, st.just("actor"), rights)


def code_of(refused: pytest.ExceptionInfo[Refused]) -> str:
    return refused.value.code


@given(actors, rights)
def test_who_may_invite_has_more_than_what_is_given(actor: Actor, invited: Right) -> None:
    try:
        check_invitation(actor, invited)
    except Refused:
        return
    assert invited.role != "customer"
    assert bool(invited.branches) == (invited.role != "operator")
    if not actor.is_operator:
        assert (actor.right.role, invited.role) == ("owner", "helper")
        assert invited.branches <= actor.right.branches


@given(st.none() | rights, rights)
def test_accepting_adds_what_was_given_and_nothing_else(now: Right | None, invited: Right) -> None:
    try:
        after = accepted("kim", now, invited, invited_by="lee")
    except Refused:
        assert now is not None
        return
    assert after.role == invited.role
    assert after.branches == invited.branches | (now.branches if now else frozenset())


@given(actors, rights, st.none() | branches)
def test_taking_away_only_takes(actor: Actor, right: Right, asked: frozenset[str] | None) -> None:
    try:
        left = taken(actor, right, asked)
    except Refused:
        return
    assert left != right
    remaining = left.branches if left else frozenset()
    assert remaining < right.branches or (left is None and not right.branches)
    if left is not None:
        assert left.role == right.role
        assert left.branches
    if not actor.is_operator:
        assert (actor.right.role, right.role) == ("owner", "helper")
        assert right.branches - remaining <= actor.right.branches


@given(st.lists(st.tuples(st.booleans(), actors, rights), max_size=12))
def test_nobody_raises_their_own_right(acts: list[tuple[bool, Actor, Right]]) -> None:
    """What Kim has was given by an operator, or is a helper's in the branches of an owner."""
    kim: Right | None = None
    given_by_operator: set[tuple[str, str]] = set()
    given_by_owner: set[str] = set()
    for invites, actor, right in acts:
        with suppress(Refused):
            if not invites:
                kim = taken(actor, kim, right.branches or None) if kim else None
                continue
            check_invitation(actor, right)
            kim = accepted("kim", kim, right, invited_by=actor.sub)
            if actor.is_operator:
                given_by_operator |= {(right.role, branch) for branch in right.branches or {"*"}}
            else:
                given_by_owner |= right.branches & actor.right.branches
    if kim is None:
        return
    for branch in kim.branches or {"*"}:
        by_owner = kim.role == "helper" and branch in given_by_owner
        assert by_owner or (kim.role, branch) in given_by_operator


@pytest.mark.parametrize(
    ("invited", "code"),
    [
        (Right("owner", frozenset({"b1"})), "role-forbidden"),
        (Right("operator"), "role-forbidden"),
        (Right("helper", frozenset({"b1", "b3"})), "branch-forbidden"),
        (Right("helper"), "branches-unfit"),
    ],
)
def test_an_owner_is_told_what_is_not_theirs_to_give(invited: Right, code: str) -> None:
    with pytest.raises(Refused) as refused:
        check_invitation(OWNER, invited)
    assert code_of(refused) == code


def test_one_invitation_names_no_more_branches_than_a_token() -> None:
    many = frozenset(f"b{number}" for number in range(MAX_BRANCHES + 1))
    for invited in (Right("owner", many), Right("owner")):
        with pytest.raises(Refused) as refused:
            check_invitation(OPERATOR, invited)
        assert code_of(refused) == "branches-unfit"
    with pytest.raises(Refused) as refused:
        first = min(many)
        accepted("kim", Right("owner", many - {first}), Right("owner", frozenset({first})), invited_by="lee")
    assert code_of(refused) == "branches-unfit"


def test_an_invitation_of_ones_own_is_for_somebody_else() -> None:
    with pytest.raises(Refused) as refused:
        accepted("owner", OWNER.right, Right("helper", frozenset({"b1"})), invited_by="owner")
    assert code_of(refused) == "own-invitation"


def test_an_owner_takes_away_what_is_in_their_branches_and_no_more() -> None:
    helper = Right("helper", frozenset({"b2", "b3"}))
    assert taken(OWNER, helper, None) == Right("helper", frozenset({"b3"}))
    assert taken(OWNER, Right("helper", frozenset({"b1"})), None) is None
    for right, code in [
        (Right("helper", frozenset({"b3"})), "person-unknown"),
        (Right("owner", frozenset({"b1"})), "role-forbidden"),
    ]:
        with pytest.raises(Refused) as refused:
            taken(OWNER, right, None)
        assert code_of(refused) == code


def test_an_operator_s_right_ends_as_a_whole_or_not_at_all() -> None:
    boss = Actor("boss", Right("operator"))
    assert taken(boss, Right("operator"), None) is None
    with pytest.raises(Refused) as refused:
        taken(boss, Right("operator"), frozenset({"b1"}))
    assert code_of(refused) == "person-unknown"


def test_the_last_operator_stays() -> None:
    check_operator_left(Right("operator"), 1)
    check_operator_left(Right("owner"), 0)
    with pytest.raises(Refused) as refused:
        check_operator_left(Right("operator"), 0)
    assert code_of(refused) == "last-operator"
