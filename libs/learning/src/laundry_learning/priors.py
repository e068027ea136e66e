"""A branch's class mix, estimated from its confirmed photos.

The share of a class in a branch is the mean of a Dirichlet distribution: before any photo is confirmed it is
the mix that the last layer is taught with, worth ``PRIOR_PHOTOS`` photos. Branches of the frozen holdout have
none, as their photos are never trained on: they keep judging the layer itself.
"""

from collections.abc import Sequence

import numpy as np

from laundry_learning.head import Examples, Floats, Ints, with_rehearsal
from laundry_reading.priors import MOST, BranchPriors

PRIOR_PHOTOS = 10.0


def taught_mix(examples: Examples, rehearsal: Examples | None, *, labels: int) -> Floats:
    """Return the share of each class in what a last layer is taught with, [labels]; none is zero."""
    data = with_rehearsal(examples, rehearsal)
    return mix_of(data.targets, data.weights, labels=labels)


def mix_of(targets: Ints, weights: Floats, *, labels: int) -> Floats:
    """Return the share of each class, [labels], by weight; none is zero."""
    counts = np.bincount(targets, weights=weights, minlength=labels) + 1.0
    return np.asarray(counts / counts.sum(), dtype=np.float64)


def branch_priors(branches: Sequence[str], targets: Ints, taught: Floats) -> BranchPriors:
    """Return the priors of each branch that sent photos; ``taught`` is what ``taught_mix`` says."""
    names = np.array(branches)
    counts = {name: _counts(targets[names == name], len(taught)) for name in dict.fromkeys(branches)}
    return BranchPriors(
        {name: _ratios(own, taught).tolist() for name, own in counts.items()}, labels=len(taught)
    )


def applied_to_all(priors: BranchPriors, probs: Floats, branches: Sequence[str]) -> Floats:
    """Return probabilities [n, labels], each row as it is in its branch."""
    rows = [priors.applied(row, branch) for row, branch in zip(probs, branches, strict=True)]
    return np.stack(rows) if rows else probs


def applied_without_own(
    probs: Floats, branches: Sequence[str], targets: Ints, groups: Ints, taught: Floats
) -> Floats:
    """The same, with priors computed without the photo and its group: for judging."""
    names = np.array(branches)
    said = np.empty_like(probs)
    for place, name in enumerate(branches):
        others = (names == name) & (groups != groups[place])
        raised = probs[place] * _ratios(_counts(targets[others], len(taught)), taught)
        said[place] = raised / raised.sum()
    return said


def _counts(targets: Ints, labels: int) -> Floats:
    return np.bincount(targets, minlength=labels).astype(np.float64)


def _ratios(counts: Floats, taught: Floats) -> Floats:
    share = (counts + PRIOR_PHOTOS * taught) / (counts.sum() + PRIOR_PHOTOS)
    return np.asarray(np.clip(share / taught, 1 / MOST, MOST), dtype=np.float64)
