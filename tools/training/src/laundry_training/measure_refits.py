"""What a refit brings to households never seen, over many of them.

``python -m laundry_training.measure_refits``: two thirds of a held-out household's photos are learnt, the
others judged, three times; so are all other held-out households. Then the same for some households together,
through the gate, in many draws: how often their refit is promoted, and how often it then reads more of their
further photos.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from laundry_learning import dataset
from laundry_learning.artifacts import REHEARSAL_FIELD, artifact_of
from laundry_learning.challenger import HoldoutData, TrainingData, assess_labels, fit_challenger
from laundry_learning.graph import read_head
from laundry_learning.head import Examples, Floats, Head, Ints, fit, log_loss, whole
from laundry_learning.holdout import read_rehearsal
from laundry_learning.priors import applied_to_all
from laundry_learning.statistics import Bools
from laundry_reading.manifest import Manifest
from laundry_reading.model import Model
from laundry_reading.preprocess import decode_for_model

TIMES = 3
LEAST = 10
LEAST_TOGETHER = 8
FURTHER = 1 / 3


@dataclass(frozen=True)
class Experiment:
    """The model's last layer, what it rehearses, and the held-out photos as it sees them.

    Attributes:
        features, targets: [n, d] and [n]; ``owners``: the household of each.
        known: chance that a photo shows any of the classes, 0 where several garments are seen, [n].
        threshold: from there on a reading is accepted.
    """

    base: Head
    rehearsal: Examples | None
    labels: tuple[str, ...]
    features: Floats
    targets: Ints
    owners: np.ndarray
    known: Floats
    threshold: float

    def accepted(self, probs: Floats, places: Ints) -> Bools:
        """Which readings are accepted without a person."""
        return np.asarray(probs.max(axis=1) * self.known[places] >= self.threshold)

    def right(self, head: Head) -> Bools:
        """Which photos a head reads right, [n]."""
        return np.asarray(head.probabilities(self.features).argmax(axis=1) == self.targets)


def main() -> int:
    """Measure and print. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m laundry_training.measure_refits", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with clothing/")
    parser.add_argument("--model", type=Path, default=Path("models"), help="folder of the model")
    parser.add_argument("--wrong", type=float, default=0.0, help="share of corrections drawn at random")
    parser.add_argument("--together", type=int, default=5, help="households whose corrections come together")
    parser.add_argument("--draws", type=int, default=60, help="how often these are drawn; 0 for never")
    arguments = parser.parse_args()
    try:
        photos = dataset.read_photos(arguments.data)
    except dataset.DataMissingError as error:
        print(error, file=sys.stderr)
        return 2
    experiment = _look(photos, arguments.data / "clothing", arguments.model)
    _one_by_one(experiment, arguments.wrong)
    if arguments.draws:
        _together(experiment, arguments.together, arguments.draws, arguments.wrong)
    return 0


def _look(photos: list[dataset.Photo], folder: Path, models: Path) -> Experiment:
    manifest = Manifest.from_json((models / "manifest.json").read_bytes())
    file = (models / manifest.file).read_bytes()
    entry = artifact_of(manifest, REHEARSAL_FIELD)
    model = Model.load(file, sha256=manifest.sha256)
    rehearsal = None
    if entry is not None:
        rehearsal = read_rehearsal((models / entry.file).read_bytes(), entry, labels=len(model.labels))
    holdout = dataset.holdout_households()
    held = [p for p in photos if p.household in holdout and p.target != dataset.UNKNOWN]
    pictures = (decode_for_model((folder / p.path).read_bytes(), model.input_size) for p in held)
    seen = [model.predict_all(pixels[np.newaxis]) for pixels in pictures]
    return Experiment(
        read_head(file),
        rehearsal,
        tuple(model.labels),
        np.concatenate([each.features for each in seen]).astype(np.float64),
        np.array([p.target for p in held]),
        np.array([p.household for p in held]),
        np.concatenate([each.known * (each.several <= model.several_threshold) for each in seen]).astype(
            np.float64
        ),
        model.threshold,
    )


def _labelled(experiment: Experiment, places: Ints, wrong: float, random: np.random.Generator) -> Ints:
    truth = experiment.targets[places].copy()
    missed = random.random(len(truth)) < wrong
    truth[missed] = random.integers(0, len(experiment.labels), int(missed.sum()))
    return truth


def _one_by_one(experiment: Experiment, wrong: float) -> None:
    before, hit = experiment.base.probabilities(experiment.features), experiment.right(experiment.base)
    rows, others = [], []
    for owner, count in Counter(experiment.owners.tolist()).most_common():
        if count < LEAST:
            continue
        own, rest = np.flatnonzero(experiment.owners == owner), experiment.owners != owner
        shares = []
        for number in range(TIMES):
            random = np.random.default_rng(number)
            order = random.permutation(own)
            learnt, judged = order[: count * 2 // 3], order[count * 2 // 3 :]
            taught = whole(experiment.features[learnt], _labelled(experiment, learnt, wrong, random))
            head = fit(experiment.base, taught, experiment.rehearsal)
            after, now = head.probabilities(experiment.features), experiment.right(head)
            shares.append((hit[judged].mean(), now[judged].mean()))
            loss = log_loss(after[rest], experiment.targets[rest]) - log_loss(
                before[rest], experiment.targets[rest]
            )
            others.append((now[rest].mean() - hit[rest].mean(), loss))
        was, became = np.mean(shares, axis=0)
        rows.append(became - was)
        print(f"household {owner:>4}: {count:3d} photos, {was:6.1%} -> {became:6.1%}")
    gain, half = float(np.mean(rows)), 1.96 * float(np.std(rows, ddof=1)) / len(rows) ** 0.5
    change, loss = np.mean(others, axis=0)
    print(
        f"{len(rows)} households of {LEAST} photos or more: {gain:+.1%} (95 %: {gain - half:+.1%} to "
        f"{gain + half:+.1%}); all others {change:+.2%}, log loss {loss:+.4f}"
    )


def _drawn(
    experiment: Experiment, households: int, draws: int
) -> Iterator[tuple[Ints, Ints, np.random.Generator]]:
    random = np.random.default_rng(0)
    names, counts = np.unique(experiment.owners, return_counts=True)
    for _ in range(draws):
        chosen = random.choice(names[counts >= LEAST_TOGETHER], households, replace=False)
        own = random.permutation(np.flatnonzero(np.isin(experiment.owners, chosen)))
        # Every third photo of each household and class, as nearly as that can be.
        own = own[np.lexsort((experiment.targets[own], experiment.owners[own]))]
        further = np.floor(random.random() + FURTHER * np.arange(len(own) + 1))
        judged = np.diff(further) > 0
        yield own[~judged], own[judged], random


@dataclass(frozen=True)
class Outcome:
    """What one draw's refit made of the further photos; right and accepted before and after."""

    promoted: bool
    failed: tuple[str, ...] = ()
    photos: int = 0
    right: tuple[int, int] = (0, 0)
    accepted: tuple[int, int] = (0, 0)
    accepted_right: tuple[int, int] = (0, 0)
    others: float = 0.0

    @property
    def change(self) -> int:
        """How many more are right."""
        return self.right[1] - self.right[0]


def _together(experiment: Experiment, households: int, draws: int, wrong: float) -> None:
    outcomes = []
    for number, (learnt, judged, random) in enumerate(_drawn(experiment, households, draws), start=1):
        outcomes.append(_draw(experiment, learnt, judged, _labelled(experiment, learnt, wrong, random)))
        if sys.stderr.isatty():
            print(f"\r{number} of {draws} draws", end="\n" if number == draws else "", file=sys.stderr)
    promoted = [each for each in outcomes if each.promoted]
    failed = Counter(name for each in outcomes for name in each.failed)
    print(f"{households} households together, {draws} draws: {len(promoted)} promoted", end="")
    print(f" (checks that failed: {dict(failed)})" if failed else "")
    if not promoted:
        return
    photos, changes = sum(each.photos for each in promoted), [each.change for each in promoted]
    print(
        f"of these {sum(c > 0 for c in changes)} read more of the further photos right, "
        f"{sum(c == 0 for c in changes)} as many, {sum(c < 0 for c in changes)} fewer; on average "
        f"{sum(changes) / photos:+.1%} of {photos / len(promoted):.0f}, all others "
        f"{np.mean([each.others for each in promoted]):+.2%}"
    )
    for when, name in enumerate(("before", "after")):
        right, accepted = (sum(e.right[when] for e in promoted), sum(e.accepted[when] for e in promoted))
        good = sum(each.accepted_right[when] for each in promoted)
        print(
            f"{name}: {right / photos:.1%} right; {accepted / photos:.1%} accepted without a person, "
            f"{good / max(1, accepted):.1%} of them right"
        )


def _draw(experiment: Experiment, learnt: Ints, judged: Ints, labels: Ints) -> Outcome:
    taught = TrainingData(
        experiment.features[learnt],
        labels,
        np.arange(len(learnt)),
        ["owner"] * len(learnt),
        experiment.owners[learnt].tolist(),
        np.ones(len(learnt), dtype=np.bool_),
    )
    rest = ~np.isin(experiment.owners, np.unique(experiment.owners[learnt]))
    _, known = np.unique(experiment.owners[rest], return_inverse=True)
    quality = assess_labels(experiment.base, experiment.base, taught, experiment.rehearsal)
    if any(each.careless for each in quality.values()):
        return Outcome(promoted=False, failed=("careless",))
    chosen = fit_challenger(
        experiment.base,
        experiment.base,
        taught,
        rehearsal=experiment.rehearsal,
        holdout=HoldoutData(experiment.features[rest], experiment.targets[rest], known),
        labels=experiment.labels,
        found=quality,
        threshold=experiment.threshold,
    )
    before = experiment.base.probabilities(experiment.features[judged])
    after = chosen.head.probabilities(experiment.features[judged])
    after = applied_to_all(chosen.priors, after, experiment.owners[judged].tolist())
    hits = [said.argmax(axis=1) == experiment.targets[judged] for said in (before, after)]
    taken = [experiment.accepted(said, judged) for said in (before, after)]
    return Outcome(
        promoted=chosen.verdict.good,
        failed=tuple(check.name for check in chosen.verdict.checks if not check.passed),
        photos=len(judged),
        right=(int(hits[0].sum()), int(hits[1].sum())),
        accepted=(int(taken[0].sum()), int(taken[1].sum())),
        accepted_right=(int((taken[0] & hits[0]).sum()), int((taken[1] & hits[1]).sum())),
        others=float(
            experiment.right(chosen.head)[rest].mean() - experiment.right(experiment.base)[rest].mean()
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
