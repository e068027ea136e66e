"""Which examples teach, which judge, which stay out; and whose labels are careless. Without servers."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laundry_learning.curation import (
    CARELESS_CORRECTIONS,
    CARELESS_LEAST,
    CONTRADICTED,
    HELD_OUT_BRANCH,
    HELD_OUT_PHOTO,
    MOST_OF_ONE_OWNER,
    REPEATED,
    SEVERAL_KINDS,
    CandidateExample,
    LabelEvidence,
    assess,
    assign_roles,
    weights,
)

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def example(number: int, **changes: Any) -> CandidateExample:
    values: dict[str, Any] = {
        "id": f"e{number}",
        "target": 1,
        "group": number,
        "owner": "o",
        "confirmed_at": NOW + timedelta(minutes=number),
        "judges": False,
        "held_out": False,
    }
    return CandidateExample(**(values | changes))


def test_what_becomes_of_each_example() -> None:
    candidates = [
        example(0),
        example(1, target=None),
        example(2, held_out=True),
        example(3, group=33),
        example(4, group=33, target=2),
        example(5, group=55),
        example(6, group=55),
        example(7, judges=True),
        example(8, group=88),
        example(9, group=88, judges=True),
    ]
    assignments = assign_roles(candidates)
    assert [assignment.role for assignment in assignments] == [
        *("learnt", "left out", "left out", "left out", "left out", "left out", "learnt"),
        *("judging", "left out", "judging"),
    ]
    assert [assignment.reason for assignment in assignments if assignment.reason] == [
        *(SEVERAL_KINDS, HELD_OUT_PHOTO, CONTRADICTED, CONTRADICTED, REPEATED, HELD_OUT_BRANCH)
    ]


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 2), st.booleans(), st.booleans()), min_size=1, max_size=40
    )
)
def test_nothing_that_judges_teaches(drawn: list[tuple[int, int, bool, bool]]) -> None:
    candidates = [
        example(n, group=group, target=target, judges=judges, held_out=held)
        for n, (group, target, judges, held) in enumerate(drawn)
    ]
    assignments = assign_roles(candidates)
    taught = {
        each.group
        for each, assignment in zip(candidates, assignments, strict=True)
        if assignment.role == "learnt"
    }
    judging = {
        each.group
        for each, assignment in zip(candidates, assignments, strict=True)
        if assignment.role == "judging"
    }
    assert not taught & judging
    roles = [
        (each.group, assignment.role)
        for each, assignment in zip(candidates, assignments, strict=True)
        if assignment.role != "left out"
    ]
    assert len(roles) == len(set(roles)), "one picture counts once"
    assert not [
        e
        for e, assignment in zip(candidates, assignments, strict=True)
        if e.held_out and assignment.role != "left out"
    ]


RIGHT = LabelEvidence(0.9, 0.9, corrects=False)
MENDED = LabelEvidence(0.4, 0.2, corrects=True)
ODD = LabelEvidence(0.001, 0.1, corrects=True)
CONTRARY = LabelEvidence(0.5, 0.001, corrects=True)


@pytest.mark.parametrize(
    ("labels", "careless"),
    [
        ([RIGHT] * 60 + [MENDED] * 10 + [ODD] * 4, False),
        ([RIGHT] * 60 + [MENDED] * 10 + [ODD] * 10, True),
        # Who confirms nothing and corrects what was read wrong looks well.
        ([MENDED] * 10 + [ODD] * 4, False),
        ([MENDED] * 6 + [ODD] * 8, True),
        ([RIGHT] * 20 + [ODD] * (CARELESS_CORRECTIONS - 1), False),
        ([RIGHT] * 20 + [ODD] * CARELESS_CORRECTIONS, True),
        ([RIGHT] * 10 + [CONTRARY] * 30, True),
        ([RIGHT] * 30 + [CONTRARY] * 10, False),
        ([ODD] * (CARELESS_LEAST - 1), False),
    ],
)
def test_careless_is_whose_corrections_contradict_often_enough_to_tell(
    labels: list[LabelEvidence], careless: bool
) -> None:
    others = [RIGHT] * 30
    owners = ["person"] * len(labels) + ["other"] * len(others)
    found = assess(owners, labels + others, [True] * len(owners))
    assert (found["person"].careless, found["other"].careless) == (careless, False)
    assert f"{labels.count(ODD)} contradict" in found["person"].summary
    # What the champion has learnt already is not looked at again.
    assert assess(owners, labels + others, [False] * len(owners)) == {}


def test_nobody_counts_for_more_than_his_share() -> None:
    owners = ["busy"] * 1000 + ["other"] * 10
    found = weights(owners)
    assert sum(found[:1000]) == pytest.approx(MOST_OF_ONE_OWNER)
    assert found[1000:] == [1.0] * 10
