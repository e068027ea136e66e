"""What branches send, as their confirmed photos tell."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laundry_learning.head import whole
from laundry_learning.priors import (
    PRIOR_PHOTOS,
    applied_to_all,
    applied_without_own,
    branch_priors,
    taught_mix,
)
from laundry_reading.priors import MOST

EVEN = np.full(4, 0.25)


def test_the_mix_that_teaches_counts_the_rehearsal_and_no_class_is_without_a_share() -> None:
    examples = whole(np.zeros((10, 2)), np.zeros(10, dtype=np.int64))
    rehearsal = whole(np.zeros((30, 2)), np.arange(30) % 3)
    alone = taught_mix(examples, None, labels=4)
    assert alone.tolist() == pytest.approx([11 / 14, 1 / 14, 1 / 14, 1 / 14])
    both = taught_mix(examples, rehearsal, labels=4)
    assert both[0] > both[1] > both[3] > 0
    assert both[1] == pytest.approx(both[2])
    assert both.sum() == pytest.approx(1)


@given(
    targets=st.lists(st.integers(0, 3), max_size=60),
    taught=st.lists(st.floats(0.01, 1), min_size=4, max_size=4),
)
def test_ratios_are_bounded_and_tell_a_share_between_what_was_taught_and_what_was_sent(
    targets: list[int], taught: list[float]
) -> None:
    mix = np.array(taught) / sum(taught)
    priors = branch_priors(["b1"] * len(targets), np.array(targets, dtype=np.int64), mix)
    said = priors.applied(mix, "b1")
    if not targets:
        assert len(priors) == 0
        return
    sent = np.bincount(targets, minlength=4) / len(targets)
    ratios = (sent * len(targets) + PRIOR_PHOTOS * mix) / (len(targets) + PRIOR_PHOTOS) / mix
    expected = mix * np.clip(ratios, 1 / MOST, MOST)
    assert said == pytest.approx(expected / expected.sum(), rel=1e-4)


def test_branches_are_told_apart() -> None:
    targets = np.array([0] * 20 + [1] * 20)
    priors = branch_priors(["shoes"] * 20 + ["pants"] * 20, targets, EVEN)
    said = applied_to_all(priors, np.tile(EVEN, (3, 1)), ["shoes", "pants", "new"])
    assert said.argmax(axis=1).tolist()[:2] == [0, 1]
    assert said[2].tolist() == EVEN.tolist()


def test_no_photo_is_judged_by_what_it_taught_itself() -> None:
    branches, targets = ["b1", "b1", "b1", "b2"], np.array([0, 0, 1, 2])
    groups = np.array([1, 1, 2, 3])
    probs = np.tile(EVEN, (4, 1))
    said = applied_without_own(probs, branches, targets, groups, EVEN)
    # The first two are one picture: of the branch only the third is left to tell, and the other way round.
    only_third = branch_priors(["b1"], np.array([1]), EVEN).applied(EVEN, "b1")
    both_others = branch_priors(["b1", "b1"], np.array([0, 0]), EVEN).applied(EVEN, "b1")
    assert said[0] == pytest.approx(only_third)
    assert said[1] == pytest.approx(only_third)
    assert said[2] == pytest.approx(both_others)
    assert said[3] == pytest.approx(EVEN)
