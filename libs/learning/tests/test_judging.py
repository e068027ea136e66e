"""Who takes over: the gate and its statistics, without servers."""

import json
from dataclasses import replace
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laundry_learning.cost import Cost, check_cost
from laundry_learning.doubts import Doubts
from laundry_learning.judging import (
    FEWER_ACCEPTED,
    Predictions,
    Thresholds,
    Verdict,
    check_other_things,
    judge,
)
from laundry_learning.metrics import metrics_of
from laundry_learning.statistics import calibration_error, household_interval, worse_by_chance

LABELS = ("a", "b", "c")
SAME = Thresholds(0.6, 0.6)


def told(targets: np.ndarray, wrong: set[int], sure: float = 0.8) -> np.ndarray:
    guesses = targets.copy()
    guesses[list(wrong)] = (guesses[list(wrong)] + 1) % 3
    probs = np.full((len(targets), 3), (1 - sure) / 2)
    probs[np.arange(len(targets)), guesses] = sure
    return probs


def photos(champion: set[int], challenger: set[int], count: int = 300, sure: float = 0.8) -> Predictions:
    """Photos of 30 households; the sets name those that each gets wrong."""
    targets = np.arange(count) % 3
    return Predictions(
        told(targets, champion), told(targets, challenger, sure), targets, np.arange(count) // 10
    )


def failed(verdict: Verdict) -> list[str]:
    return [check.name for check in verdict.checks if not check.passed]


GAIN = photos(set(range(20)), set(range(12)), count=60)


@pytest.mark.parametrize(
    ("holdout", "corrections", "expected"),
    [
        (photos(set(range(30)), set(range(30))), GAIN, []),
        (photos(set(range(30)), set(range(33))), GAIN, []),
        # Ten more are wrong of which none was before: chance brings that once in a thousand times.
        (photos(set(range(30)), set(range(40))), GAIN, ["holdout accuracy"]),
        # All lost ones are of one class: few over all, but nothing that class can spare.
        (photos(set(), {0, 3, 6, 9, 12}), GAIN, ["holdout accuracy", "classes"]),
        (photos({1, 2, 4}, {0, 3, 6}), GAIN, []),
        (photos(set(range(60)), set(range(60)), sure=0.97), GAIN, ["calibration"]),
        (photos(set(range(30)), set(range(30))), photos({1}, {1, 2}, count=60), ["own gain"]),
        (photos(set(range(30)), set(range(30))), photos({1}, {1}, count=60), ["own gain"]),
    ],
    ids=[
        "better",
        "a hair worse on the holdout",
        "worse",
        "one class lost",
        "others wrong",
        "too sure",
        "gains nothing",
        "the same",
    ],
)
def test_who_takes_over(holdout: Predictions, corrections: Predictions, expected: list[str]) -> None:
    verdict = judge(holdout=holdout, corrections=corrections, labels=LABELS, thresholds=SAME)
    assert set(expected) <= set(failed(verdict))
    assert verdict.good is not bool(expected)
    assert verdict.reasons[-1] == ("not promoted" if expected else "promoted: every check passed")


@pytest.mark.parametrize(
    ("wrong_now", "surer", "good"),
    [
        ({1, 2}, 0.95, True),
        ({1, 2, 3}, 0.95, True),
        ({1, 2}, 0.7, False),
        (set(range(1, 9)), 0.95, False),
    ],
    ids=["surer", "surer, one fewer right", "less sure", "far fewer right"],
)
def test_a_last_layer_may_gain_by_what_it_is_sure_of(wrong_now: set[int], surer: float, good: bool) -> None:
    before = photos({1, 2}, {1, 2}, count=60, sure=0.8)
    after = photos({1, 2}, wrong_now, count=60, sure=surer)
    corrections = Predictions(before.challenger, after.challenger, before.targets, before.households)
    checked = judge(holdout=None, corrections=corrections, labels=LABELS, thresholds=SAME, by_loss=True)
    assert checked.good is good


def test_a_model_that_accepts_more_wrong_readings_does_not_take_over() -> None:
    # As many are right, and the wrong ones are no surer; but the threshold lets them all through.
    same = photos(set(range(60)), set(range(60)), sure=0.8)
    checked = {
        threshold: judge(holdout=same, corrections=GAIN, labels=LABELS, thresholds=Thresholds(0.9, threshold))
        for threshold in (0.9, 0.7)
    }
    assert "accepted" not in failed(checked[0.9])
    assert "accepted" in failed(checked[0.7])


def accepted_by(holdout: Predictions, thresholds: Thresholds = SAME) -> tuple[bool, dict[str, object]]:
    verdict = judge(holdout=holdout, corrections=None, labels=LABELS, thresholds=thresholds)
    (check,) = (each for each in verdict.checks if each.name == "accepted")
    assert verdict.good is check.passed
    return check.passed, dict(check.figures)


def test_a_model_that_accepts_nothing_does_not_take_over() -> None:
    # Of none every one is right, which says nothing.
    same = photos(set(range(30)), set(range(30)))
    good, figures = accepted_by(same, Thresholds(0.6, 1.0))
    assert (good, figures["right"], figures["accepted"], figures["champion_accepted"]) == (False, 1, 0, 1)


@pytest.mark.parametrize(("fewer", "good"), [(0.0, True), (FEWER_ACCEPTED, True), (0.11, False)])
def test_a_model_may_leave_a_few_more_photos_to_people(fewer: float, good: bool) -> None:
    same = photos(set(), set(), count=300)
    left = np.arange(300) >= round(300 * (1 - fewer))
    for doubts in (
        Doubts(np.where(left, 0.5, 1.0), np.zeros(300, dtype=bool)),
        Doubts(np.ones(300), left),
    ):
        as_served = replace(same, champion_doubts=Doubts.of_none(300), challenger_doubts=doubts)
        passed, figures = accepted_by(as_served)
        assert (passed, figures["accepted"]) == (good, pytest.approx(1 - fewer))


def test_several_garments_are_never_accepted_however_low_the_threshold() -> None:
    several = Doubts(np.ones(300), np.ones(300, dtype=bool))
    same = replace(photos(set(), set()), champion_doubts=Doubts.of_none(300), challenger_doubts=several)
    assert accepted_by(same, Thresholds(0.6, 0.0))[0] is False


def test_what_is_right_of_the_accepted_is_reckoned_as_it_is_served() -> None:
    # Sixty are wrong, and the champion, which is unsure of being shown a garment there, accepts none of them.
    wrong = set(range(60))
    knowing = Doubts(np.where(np.arange(300) < 60, 0.5, 1.0), np.zeros(300, dtype=bool))
    same = replace(photos(wrong, wrong), champion_doubts=knowing, challenger_doubts=knowing)
    good, figures = accepted_by(same)
    assert (good, figures["right"], figures["accepted"]) == (True, 1, 0.8)
    good, figures = accepted_by(replace(same, challenger_doubts=Doubts.of_none(300)))
    assert (good, figures["right"]) == (False, 0.8)


def test_photos_of_which_no_model_was_asked_hide_nothing() -> None:
    # A thousand photos of branches, whose features alone are stored, beside a hundred that all go to people.
    same = photos(set(), set(), count=1100)
    before, after = (
        Doubts(np.full(100, chance), np.zeros(100, dtype=bool)).followed_by(1000) for chance in (1.0, 0.0)
    )
    good, figures = accepted_by(replace(same, champion_doubts=before, challenger_doubts=after))
    assert (good, figures["accepted"], figures["champion_accepted"]) == (False, 0, 1)
    assert accepted_by(replace(same, champion_doubts=before, challenger_doubts=before))[0] is True


@pytest.mark.parametrize(("reviewed", "good"), [(0.7, True), (0.62, True), (0.55, False)])
def test_a_model_that_takes_other_things_for_garments_does_not_take_over(reviewed: float, good: bool) -> None:
    assert check_other_things(0.7, reviewed).passed is good


def test_a_branch_that_loses_is_named_though_all_together_gain() -> None:
    branches = ["well"] * 30 + ["badly"] * 30
    verdict = judge(
        holdout=None,
        corrections=photos({1, 2, 3, 4}, {40, 41}, count=60),
        labels=LABELS,
        thresholds=SAME,
        branches=branches,
    )
    assert verdict.good
    (gain,) = (check for check in verdict.checks if check.name == "own gain")
    assert "fewer right in badly (0 won, 2 lost)" in gain.text
    assert gain.figures["branches"] == {"well": [4, 0], "badly": [0, 2]}


@pytest.mark.parametrize(
    ("challenger", "good"),
    [(Cost(5_000_000, 5.0), True), (Cost(11_000_000, 5.0), False), (Cost(1, 9.0), False)],
)
def test_a_model_too_large_or_too_slow_does_not_take_over(challenger: Cost, good: bool) -> None:
    assert check_cost(Cost(5_000_000, 5.0), challenger).passed is good


@given(st.integers(0, 30), st.integers(0, 30))
def test_the_paired_test_is_the_exact_binomial_tail(lost: int, won: int) -> None:
    p = worse_by_chance(lost, won)
    assert 0 < p <= 1
    # Either at least so many are lost, or at least one more is won than was.
    other = sum(comb(lost + won, k) for k in range(lost)) / 2 ** (lost + won)
    assert p + other == pytest.approx(1)
    assert worse_by_chance(lost + 1, won) < p or lost + won == 0


def test_households_that_differ_widen_the_interval() -> None:
    households = np.repeat(np.arange(10), 10)
    by_household = np.repeat([0.0, 1.0] * 5, 10)
    by_photo = np.tile([0.0, 1.0], 50)
    wide, narrow = (household_interval(each, households) for each in (by_household, by_photo))
    assert wide[1] - wide[0] > 2 * (narrow[1] - narrow[0])


def test_calibration_error_is_the_gap_of_confidence_and_accuracy() -> None:
    targets = np.zeros(100, dtype=np.int64)
    probs = np.tile([0.8, 0.2], (100, 1))
    assert calibration_error(probs, targets) == pytest.approx(0.2)
    targets[::5] = 1
    assert calibration_error(probs, targets) == pytest.approx(0)


def test_the_metrics_of_a_manifest_keep_their_names() -> None:
    said = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    holdout = Predictions(said, said, np.array([0, 1, 1]), np.array([0, 0, 1]))
    figures = (
        '{"photos": 3, "top1": 0.6667, "log_loss": 0.4149, "calibration_error": 0.3, "classes": ['
        '{"label": "hat", "photos": 1, "recall": 1.0, "precision": 0.5}, {"label": "shoes", "photos": 2, '
        '"recall": 0.5, "precision": 1.0}], "confusion": [[1, 0], [1, 1]]'
    )
    assert json.dumps(metrics_of(holdout, ("hat", "shoes"))) == (
        f'{{"judged_on": "the frozen holdout", {figures[1:]}, "champion": {figures}}}}}'
    )
