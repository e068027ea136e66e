"""Who takes over, who may teach: judging and sorting out, without servers."""

from datetime import UTC, datetime, timedelta
from math import comb
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from laundry_reading.priors import BranchPriors
from mlops.curation import (
    CARELESS_CORRECTIONS,
    CARELESS_LEAST,
    CONTRADICTED,
    HELD_OUT_BRANCH,
    HELD_OUT_PHOTO,
    MOST_OF_ONE_OWNER,
    REPEATED,
    SEVERAL_KINDS,
    Candidate,
    Care,
    Opinion,
    care,
    sort_out,
    weights,
)
from mlops.refit.choose import Holdout, Taught, choose, look_for_careless
from mlops.refit.head import Head, whole
from mlops.refit.judge import Cost, Photos, Thresholds, Verdict, check_other_things, judge, weigh
from mlops.refit.likeness import groups, hashes_of, picture_hash
from mlops.refit.statistics import calibration_error, household_interval, worse_by_chance

LABELS = ("a", "b", "c")
SAME = Thresholds(0.6, 0.6)


def told(targets: np.ndarray, wrong: set[int], sure: float = 0.8) -> np.ndarray:
    guesses = targets.copy()
    guesses[list(wrong)] = (guesses[list(wrong)] + 1) % 3
    probs = np.full((len(targets), 3), (1 - sure) / 2)
    probs[np.arange(len(targets)), guesses] = sure
    return probs


def photos(champion: set[int], challenger: set[int], count: int = 300, sure: float = 0.8) -> Photos:
    """Photos of 30 households; the sets name those that each gets wrong."""
    targets = np.arange(count) % 3
    return Photos(told(targets, champion), told(targets, challenger, sure), targets, np.arange(count) // 10)


def failed(verdict: Verdict) -> list[str]:
    return [check["name"] for check in verdict.checks if not check["passed"]]


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
def test_who_takes_over(holdout: Photos, corrections: Photos, expected: list[str]) -> None:
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
    corrections = Photos(before.challenger, after.challenger, before.targets, before.households)
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


@pytest.mark.parametrize(("reviewed", "good"), [(0.7, True), (0.62, True), (0.55, False)])
def test_a_model_that_takes_other_things_for_garments_does_not_take_over(reviewed: float, good: bool) -> None:
    verdict = Verdict()
    check_other_things(verdict, 0.7, reviewed)
    assert verdict.good is good


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
    (gain,) = (check for check in verdict.checks if check["name"] == "own gain")
    assert "fewer right in badly (0 won, 2 lost)" in gain["text"]
    assert gain["figures"]["branches"] == {"well": [4, 0], "badly": [0, 2]}


@pytest.mark.parametrize(
    ("challenger", "good"),
    [(Cost(5_000_000, 5.0), True), (Cost(11_000_000, 5.0), False), (Cost(1, 9.0), False)],
)
def test_a_model_too_large_or_too_slow_does_not_take_over(challenger: Cost, good: bool) -> None:
    verdict = Verdict()
    weigh(verdict, Cost(5_000_000, 5.0), challenger)
    assert verdict.good is good


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


NOW = datetime(2026, 5, 1, tzinfo=UTC)


def example(number: int, **changes: Any) -> Candidate:
    values: dict[str, Any] = {
        "id": f"e{number}",
        "target": 1,
        "group": number,
        "owner": "o",
        "confirmed_at": NOW + timedelta(minutes=number),
        "judges": False,
        "held_out": False,
    }
    return Candidate(**(values | changes))


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
    fates = sort_out(candidates)
    assert [fate.role for fate in fates] == [
        *("learnt", "left out", "left out", "left out", "left out", "left out", "learnt"),
        *("judging", "left out", "judging"),
    ]
    assert [fate.reason for fate in fates if fate.reason] == [
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
    fates = sort_out(candidates)
    taught = {each.group for each, fate in zip(candidates, fates, strict=True) if fate.role == "learnt"}
    judging = {each.group for each, fate in zip(candidates, fates, strict=True) if fate.role == "judging"}
    assert not taught & judging
    roles = [
        (each.group, fate.role)
        for each, fate in zip(candidates, fates, strict=True)
        if fate.role != "left out"
    ]
    assert len(roles) == len(set(roles)), "one picture counts once"
    assert not [
        e for e, fate in zip(candidates, fates, strict=True) if e.held_out and fate.role != "left out"
    ]


RIGHT = Opinion(0.9, 0.9, corrects=False)
MENDED = Opinion(0.4, 0.2, corrects=True)
ODD = Opinion(0.001, 0.1, corrects=True)
CONTRARY = Opinion(0.5, 0.001, corrects=True)


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
    labels: list[Opinion], careless: bool
) -> None:
    others = [RIGHT] * 30
    owners = ["person"] * len(labels) + ["other"] * len(others)
    found = care(owners, labels + others, [True] * len(owners))
    assert (found["person"].careless, found["other"].careless) == (careless, False)
    assert f"{labels.count(ODD)} contradict" in found["person"].words
    # What the champion has learnt already is not looked at again.
    assert care(owners, labels + others, [False] * len(owners)) == {}


def test_nobody_counts_for_more_than_his_share() -> None:
    owners = ["busy"] * 1000 + ["other"] * 10
    found = weights(owners)
    assert sum(found[:1000]) == pytest.approx(MOST_OF_ONE_OWNER)
    assert found[1000:] == [1.0] * 10


def clouds(count: int, shift: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    targets = np.arange(count) % 3
    features = np.eye(3, 5)[targets] * 2 + random.normal(0, 0.5, (count, 5))
    features[:, 0] += shift
    return features, targets


CHAMPION = Head(np.eye(3, 5) * 2, np.zeros(3))
REHEARSAL = whole(*clouds(600, 0.0, seed=11))


def taught_of(features: np.ndarray, labels: np.ndarray, owner: str = "owner") -> Taught:
    count = len(labels)
    return Taught(
        features, labels, np.arange(count), [owner] * count, ["b1"] * count, np.ones(count, dtype=bool)
    )


def test_the_champion_is_judged_by_what_it_reads_in_the_branch() -> None:
    # The branch sends one kind only, and features say nothing: what the branch sends is all there is to know.
    features, labels = np.zeros((60, 5)), np.zeros(60, dtype=np.int64)
    priors = BranchPriors({"b1": [8, 0.125, 0.125], "b2": [0.125, 8, 0.125]}, labels=3)

    def of_corrections(known: BranchPriors | None) -> tuple[int, int]:
        found = look_for_careless(CHAMPION, CHAMPION, taught_of(features, labels), REHEARSAL, known)
        chosen = choose(
            CHAMPION,
            CHAMPION,
            taught_of(features, labels),
            rehearsal=REHEARSAL,
            holdout=None,
            labels=LABELS,
            found=found,
            threshold=0.6,
            champion_priors=known,
        )
        (gain,) = (check for check in chosen.verdict.checks if check["name"] == "own gain")
        return gain["figures"]["log_loss_change"], found["owner"].corrections

    without, with_them = of_corrections(None), of_corrections(priors)
    assert without[0] < with_them[0], "a champion that knows the branch is harder to surpass"
    assert of_corrections(BranchPriors({"b2": [8, 1, 1]}, labels=3)) == without


def test_what_a_branch_made_of_a_guess_is_no_correction() -> None:
    # Alone the champion guesses the second class; in this branch it reads the first, and the owner agrees.
    features = np.tile(np.eye(3, 5)[1] * 0.3, (20, 1))
    agreed = taught_of(features, np.zeros(20, dtype=np.int64))
    known = BranchPriors({"b1": [8, 1, 1]}, labels=3)
    alone, here = (look_for_careless(CHAMPION, CHAMPION, agreed, REHEARSAL, each) for each in (None, known))
    assert (alone["owner"].corrections, here["owner"].corrections) == (20, 0)


def test_careless_labels_say_nothing_of_what_a_branch_sends() -> None:
    features, truth = clouds(60, 0.0, seed=5)
    random = np.random.default_rng(6).integers(0, 3, 60)
    both = Taught(
        np.vstack([features, features + 0.01]),
        np.concatenate([truth, random]),
        np.arange(120),
        ["careful"] * 60 + ["careless"] * 60,
        ["b1"] * 60 + ["b2"] * 60,
        np.ones(120, dtype=bool),
    )
    found = {
        "careful": Care(labels=60, corrections=5, contradicted=0, contrary=0),
        "careless": Care(labels=60, corrections=40, contradicted=30, contrary=30),
    }
    chosen = choose(
        CHAMPION,
        CHAMPION,
        both,
        rehearsal=REHEARSAL,
        holdout=None,
        labels=LABELS,
        found=found,
        threshold=0.6,
    )
    probs = np.full(3, 1 / 3)
    assert len(chosen.priors) == 1
    assert chosen.priors.applied(probs, "b2") is probs


def learn(features: np.ndarray, labels: np.ndarray) -> tuple[Verdict, Head, bool]:
    taught = taught_of(features, labels)
    judges, truth = clouds(600, 0.0, seed=12)
    holdout = Holdout(judges, truth, np.arange(600) // 10)
    found = look_for_careless(CHAMPION, CHAMPION, taught, REHEARSAL)
    if found["owner"].careless:
        return Verdict(), CHAMPION, True
    chosen = choose(
        CHAMPION,
        CHAMPION,
        taught,
        rehearsal=REHEARSAL,
        holdout=holdout,
        labels=LABELS,
        found=found,
        threshold=0.6,
    )
    return chosen.verdict, chosen.head, False


def test_a_branch_that_is_different_is_learnt_and_nobody_else_forgotten() -> None:
    verdict, head, careless = learn(*clouds(120, 1.2, seed=1))
    assert (verdict.good, careless) == (True, False), verdict.reasons
    further, truth = clouds(300, 1.2, seed=2)
    before, after = (
        (each.probabilities(further).argmax(axis=1) == truth).mean() for each in (CHAMPION, head)
    )
    assert after > before


@pytest.mark.parametrize("kind", ["random", "turned round"])
def test_bad_labels_never_take_over(kind: str) -> None:
    features, truth = clouds(120, 0.3, seed=3)
    labels = {
        "random": np.random.default_rng(4).integers(0, 3, 120),
        "turned round": (truth + 1) % 3,
    }[kind]
    verdict, _, careless = learn(features, labels)
    assert careless or not verdict.good


def test_the_same_picture_is_known_again_and_another_is_not() -> None:
    random = np.random.default_rng(7)
    blocks = random.integers(0, 256, (3, 8, 8, 3)).repeat(12, axis=1).repeat(12, axis=2)
    pictures = [*blocks, np.clip(blocks[0] * 0.9 + random.normal(0, 3, blocks[0].shape), 0, 255)]
    hashes = hashes_of([picture_hash(each.astype(np.uint8)) for each in pictures])
    features = random.normal(size=(3, 20))
    number = groups(hashes, np.vstack([features, features[:1] + 0.01]))
    assert number[3] == number[0]
    assert len(set(number.tolist())) == 3
