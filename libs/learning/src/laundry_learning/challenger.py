"""From curated examples to a judged challenger. Knows no server and no framework."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np

from laundry_learning.curation import LabelEvidence, LabelQuality, assess, weights
from laundry_learning.doubts import Doubts
from laundry_learning.head import Examples, Floats, Head, Ints, cross_fit, fit, temperature_of, warm
from laundry_learning.judging import Predictions, Thresholds, Verdict, judge
from laundry_learning.priors import applied_to_all, applied_without_own, branch_priors, taught_mix
from laundry_learning.statistics import Bools
from laundry_reading.priors import BranchPriors

PULLS = (16.0, 64.0)
"""How strongly a challenger is drawn back to the trained model; a more cautious one is tried if one fails.

By ``laundry_training.measure_refits``: with 1 and 4 too much of what other branches need is forgotten, above
64 too little is learnt.
"""


@dataclass(frozen=True)
class TrainingData:
    """Training examples.

    Attributes:
        features, targets: [n, d] and [n].
        groups: number of the branch's picture [n]; one group is never split between teachers and judges.
        owners: who labelled.
        branches: whose photo it is.
        new: which of them the champion has not learnt from.
    """

    features: Floats
    targets: Ints
    groups: Ints
    owners: Sequence[str]
    branches: Sequence[str]
    new: Bools

    def some(self, chosen: Bools) -> "TrainingData":
        """Return the chosen rows alone."""
        return TrainingData(
            self.features[chosen],
            self.targets[chosen],
            self.groups[chosen],
            list(compress(self.owners, chosen)),
            list(compress(self.branches, chosen)),
            self.new[chosen],
        )


@dataclass(frozen=True)
class HoldoutData:
    """The frozen holdout: features [n, d], class numbers [n], households [n].

    ``doubts`` are those of the network, which a refit leaves as it is; None where they were not stored.
    """

    features: Floats
    targets: Ints
    households: Ints
    doubts: Doubts | None = None


@dataclass(frozen=True)
class Challenger:
    """A challenger with its verdict, how it was drawn, who labelled how, and which examples taught it."""

    head: Head
    priors: BranchPriors
    verdict: Verdict
    pull: float
    quality: dict[str, LabelQuality]
    used: Bools


def assess_labels(
    base: Head,
    champion: Head,
    taught: TrainingData,
    rehearsal: Examples | None,
    champion_priors: BranchPriors | None = None,
) -> dict[str, LabelQuality]:
    """Assess each person's new labels by a model of all others and by the champion."""
    told = cross_fit(base, _weighed(taught), taught.groups, rehearsal)
    championed = _read(champion, champion_priors, taught)
    opinions = [
        LabelEvidence(float(t[label]), float(c[label]), corrects=int(c.argmax()) != label)
        for t, c, label in zip(told, championed, taught.targets.tolist(), strict=True)
    ]
    return assess(taught.owners, opinions, taught.new.tolist())


def fit_challenger(
    base: Head,
    champion: Head,
    taught: TrainingData,
    *,
    rehearsal: Examples | None,
    holdout: HoldoutData | None,
    labels: Sequence[str],
    found: dict[str, LabelQuality],
    threshold: float,
    champion_priors: BranchPriors | None = None,
) -> Challenger:
    """Fit and judge a challenger; if it fails, try a more conservative one.

    ``base`` is the head of the trained model that all refits go back to: examples that the champion has
    learnt already do not count twice. ``found`` is from ``assess_labels``: careless labels teach nothing.
    ``threshold`` accepts readings, of both. ``champion_priors`` are those that the champion reads with, if
    any.
    """
    used = np.array(
        [not (new and found[owner].careless) for owner, new in zip(taught.owners, taught.new, strict=True)]
    )
    kept = taught.some(used)
    new = kept.some(kept.new)
    examples = _weighed(kept)
    mix = taught_mix(examples, rehearsal, labels=len(labels))
    priors = branch_priors(kept.branches, kept.targets, mix)
    before = _read(champion, champion_priors, new)
    first: Challenger | None = None
    for pull in PULLS:
        said = cross_fit(base, examples, kept.groups, rehearsal, pull=pull)
        temperature = temperature_of(said, kept.targets)
        said = warm(said, temperature)
        head = fit(base, examples, rehearsal, pull=pull).warmed(temperature)
        after = applied_without_own(said, kept.branches, kept.targets, kept.groups, mix)
        corrections = Predictions(before, after[kept.new], new.targets, new.groups)
        verdict = judge(
            holdout=compare_heads(champion, head, holdout),
            corrections=corrections,
            labels=labels,
            thresholds=Thresholds(threshold, threshold),
            branches=new.branches,
            by_loss=True,
        )
        chosen = Challenger(head, priors, verdict, pull, found, used)
        if verdict.good:
            return chosen
        first = first or chosen
    assert first is not None
    return first


def compare_heads(champion: Head, challenger: Head, holdout: HoldoutData | None) -> Predictions | None:
    """Return both heads' predictions for the frozen holdout, None if there is none."""
    if holdout is None or not len(holdout.targets):
        return None
    return Predictions(
        champion.probabilities(holdout.features),
        challenger.probabilities(holdout.features),
        holdout.targets,
        holdout.households,
        holdout.doubts,
        holdout.doubts,
    )


def _read(champion: Head, priors: BranchPriors | None, taught: TrainingData) -> Floats:
    said = champion.probabilities(taught.features)
    return said if priors is None else applied_to_all(priors, said, taught.branches)


def _weighed(taught: TrainingData) -> Examples:
    return Examples(taught.features, taught.targets, np.array(weights(taught.owners)))
