"""From corrections to a challenger that may take over, and bad labels that may not. Without servers."""

import numpy as np
import pytest

from laundry_learning.challenger import HoldoutData, TrainingData, assess_labels, fit_challenger
from laundry_learning.curation import (
    LabelQuality,
)
from laundry_learning.head import Head, whole
from laundry_learning.judging import Verdict
from laundry_reading.priors import BranchPriors

from .clouds import CHAMPION, clouds

LABELS = ("a", "b", "c")


REHEARSAL = whole(*clouds(600, 0.0, seed=11))


def taught_of(features: np.ndarray, labels: np.ndarray, owner: str = "owner") -> TrainingData:
    count = len(labels)
    return TrainingData(
        features, labels, np.arange(count), [owner] * count, ["b1"] * count, np.ones(count, dtype=bool)
    )


def test_the_champion_is_judged_by_what_it_reads_in_the_branch() -> None:
    # The branch sends one kind only, and features say nothing: what the branch sends is all there is to know.
    features, labels = np.zeros((60, 5)), np.zeros(60, dtype=np.int64)
    priors = BranchPriors({"b1": [8, 0.125, 0.125], "b2": [0.125, 8, 0.125]}, labels=3)

    def of_corrections(known: BranchPriors | None) -> tuple[float, int]:
        found = assess_labels(CHAMPION, CHAMPION, taught_of(features, labels), REHEARSAL, known)
        chosen = fit_challenger(
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
        (gain,) = (check for check in chosen.verdict.checks if check.name == "own gain")
        change = gain.figures["log_loss_change"]
        assert isinstance(change, float)
        return change, found["owner"].corrections

    without, with_them = of_corrections(None), of_corrections(priors)
    assert without[0] < with_them[0], "a champion that knows the branch is harder to surpass"
    assert of_corrections(BranchPriors({"b2": [8, 1, 1]}, labels=3)) == without


def test_what_a_branch_made_of_a_guess_is_no_correction() -> None:
    # Alone the champion guesses the second class; in this branch it reads the first, and the owner agrees.
    features = np.tile(np.eye(3, 5)[1] * 0.3, (20, 1))
    agreed = taught_of(features, np.zeros(20, dtype=np.int64))
    known = BranchPriors({"b1": [8, 1, 1]}, labels=3)
    alone, here = (assess_labels(CHAMPION, CHAMPION, agreed, REHEARSAL, each) for each in (None, known))
    assert (alone["owner"].corrections, here["owner"].corrections) == (20, 0)


def test_careless_labels_say_nothing_of_what_a_branch_sends() -> None:
    features, truth = clouds(60, 0.0, seed=5)
    random = np.random.default_rng(6).integers(0, 3, 60)
    both = TrainingData(
        np.vstack([features, features + 0.01]),
        np.concatenate([truth, random]),
        np.arange(120),
        ["careful"] * 60 + ["careless"] * 60,
        ["b1"] * 60 + ["b2"] * 60,
        np.ones(120, dtype=bool),
    )
    found = {
        "careful": LabelQuality(labels=60, corrections=5, contradicted=0, contrary=0),
        "careless": LabelQuality(labels=60, corrections=40, contradicted=30, contrary=30),
    }
    chosen = fit_challenger(
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
    holdout = HoldoutData(judges, truth, np.arange(600) // 10)
    found = assess_labels(CHAMPION, CHAMPION, taught, REHEARSAL)
    if found["owner"].careless:
        return Verdict(), CHAMPION, True
    chosen = fit_challenger(
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
