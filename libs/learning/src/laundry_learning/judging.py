"""The gate: whether a new model may replace the champion. Both read the same photos; every check must pass.

Two sets of photos judge. The **frozen holdout** (photos that ship with the model, and branches that stand
are held out) is never trained on: there the challenger must not be worse, overall or in any class.
The **corrections** that the champion has not learnt from say what their branches gain; each is judged by a
head fitted without it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, JsonValue

from laundry_learning.doubts import Doubts
from laundry_learning.head import Floats, Ints, log_losses
from laundry_learning.statistics import Bools, calibration_error, household_interval, worse_by_chance

UNLIKELY = 0.05
"""A loss that chance brings less often than this counts as one."""

MOST_LOST = 0.01
"""Most of the frozen holdout's first guesses that may be lost, as a share, whatever chance says."""

MOST_LOST_OF_CLASS = 0.10
CLASS_LEAST = 20
"""From so many photos on a class may not lose more than that share, whatever chance says."""

PROMISED = 0.95
"""Share of accepted readings that are right, which the threshold was chosen for (a refit keeps it)."""

FEWER_RIGHT = 0.01
"""Less of it than promised, or than the champion has if that is less, is taken for chance up to here."""

FEWER_ACCEPTED = 0.10
"""Share of photos of which fewer may be accepted: a model that leaves all to people is never wrong.

Of some 470 photos. Forty refits changed it by two points at most (``laundry_training.measure_refits``), the
networks trained so far by 6.5, and the warmest temperature that examples may ask for costs 5.5.
"""

FEWER_ASIDE = 0.10
"""Share of photos of other things (some 90) of which fewer may go to a person."""

MORE_LOSS = 0.03
MORE_CALIBRATION_ERROR = 0.02
MOST_NAMED = 5


@dataclass(frozen=True)
class Predictions:
    """Two models' predictions for the same photos.

    Attributes:
        champion, challenger: probabilities [n, labels].
        targets: the truth, class numbers [n].
        households: whose photo it is, numbers [n].
        champion_doubts, challenger_doubts: both or neither; without, confidence alone accepts.
    """

    champion: Floats
    challenger: Floats
    targets: Ints
    households: Ints
    champion_doubts: Doubts | None = None
    challenger_doubts: Doubts | None = None


@dataclass(frozen=True)
class Thresholds:
    """From which confidence on readings are accepted, 0..1."""

    champion: float
    challenger: float


class Check(BaseModel):
    """One thing that judging looked at; ``text`` tells people what it found, ``figures`` programs."""

    model_config = ConfigDict(frozen=True)

    name: str
    passed: bool
    text: str
    figures: dict[str, JsonValue] = {}


@dataclass(frozen=True)
class Verdict:
    """The decision, check by check."""

    checks: tuple[Check, ...] = ()

    @property
    def good(self) -> bool:
        """Whether there were checks and every one passed."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def reasons(self) -> list[str]:
        """What each check found, in words; the last line is the conclusion."""
        end = "promoted: every check passed" if self.good else "not promoted"
        return [("" if check.passed else "FAILED: ") + check.text for check in self.checks] + [end]

    def also(self, *checks: Check) -> "Verdict":
        """Return the verdict with further checks."""
        return Verdict((*self.checks, *checks))


def judge(
    *,
    holdout: Predictions | None,
    corrections: Predictions | None,
    labels: Sequence[str],
    thresholds: Thresholds,
    branches: Sequence[str] = (),
    by_loss: bool = False,
) -> Verdict:
    """Judge a challenger.

    Args:
        holdout: the frozen holdout; None if there is none, which is said and decides nothing.
        corrections: examples that neither model learnt from; None if the challenger learnt from none.
        branches: whose photos the corrections are, to tell which branches lose.
        by_loss: see ``check_gain``.
    """
    checks: list[Check] = []
    if holdout is None:
        text = "there is no frozen holdout to tell whether anything was forgotten"
        checks.append(Check(name="holdout", passed=True, text=text))
    else:
        checks += [
            _holdout_accuracy(holdout),
            _classes(holdout, labels),
            _calibration(holdout),
            _accepted(holdout, thresholds),
        ]
    if corrections is not None:
        checks.append(
            check_gain(
                corrections,
                "new examples",
                ", each judged by a head that had not seen it",
                branches=branches,
                by_loss=by_loss,
            )
        )
    return Verdict(tuple(checks))


def _hits(photos: Predictions) -> tuple[Bools, Bools]:
    return (
        photos.champion.argmax(axis=1) == photos.targets,
        photos.challenger.argmax(axis=1) == photos.targets,
    )


def _holdout_accuracy(photos: Predictions) -> Check:
    before, after = _hits(photos)
    lost, won = int((before & ~after).sum()), int((~before & after).sum())
    chance = worse_by_chance(lost, won)
    low, high = household_interval(after.astype(float) - before, photos.households)
    return Check(
        name="holdout accuracy",
        text=f"frozen holdout: {int(after.sum())} right against the champion's {int(before.sum())} of "
        f"{len(before)} photos of {len(np.unique(photos.households))} households "
        f"({won} won, {lost} lost, p(worse by chance) {chance:.2f}; 95 % of households "
        f"{low:+.1%} to {high:+.1%})",
        passed=bool(chance >= UNLIKELY and lost - won <= MOST_LOST * len(before)),
        figures={
            "right": int(after.sum()),
            "champion_right": int(before.sum()),
            "photos": len(before),
            "won": won,
            "lost": lost,
            "p": round(chance, 4),
            "interval": [round(low, 4), round(high, 4)],
        },
    )


def _classes(photos: Predictions, labels: Sequence[str]) -> Check:
    before, after = _hits(photos)
    worse = []
    for index, label in enumerate(labels):
        own = photos.targets == index
        lost, won = int((before & ~after & own).sum()), int((~before & after & own).sum())
        shown = int(own.sum())
        too_many = shown >= CLASS_LEAST and lost - won > MOST_LOST_OF_CLASS * shown
        if worse_by_chance(lost, won) < UNLIKELY or too_many:
            worse.append(f"{label} loses {lost - won} of its {shown}")
    return Check(
        name="classes",
        text=f"worse in a class: {'; '.join(worse)}" if worse else "no class is significantly worse",
        passed=not worse,
    )


def _calibration(photos: Predictions) -> Check:
    change = log_losses(photos.challenger, photos.targets) - log_losses(photos.champion, photos.targets)
    before = calibration_error(photos.champion, photos.targets)
    after = calibration_error(photos.challenger, photos.targets)
    return Check(
        name="calibration",
        text=f"frozen holdout: log loss {change.mean():+.4f}, calibration error {after:.1%} against "
        f"{before:.1%}",
        passed=bool(change.mean() <= MORE_LOSS and after - before <= MORE_CALIBRATION_ERROR),
        figures={
            "log_loss_change": round(float(change.mean()), 4),
            "calibration_error": round(after, 4),
            "champion_calibration_error": round(before, 4),
        },
    )


def _accepted(photos: Predictions, thresholds: Thresholds) -> Check:
    """Check the readings that no person would see: enough of them are right, and they are not fewer."""
    none = Doubts.of_none(len(photos.targets))
    doubts = photos.champion_doubts or none, photos.challenger_doubts or none
    sure = (
        doubts[0].accepts(photos.champion.max(axis=1), thresholds.champion),
        doubts[1].accepts(photos.challenger.max(axis=1), thresholds.challenger),
    )
    before, after = (
        float(hit[taken].mean()) if taken.any() else 1.0
        for hit, taken in zip(_hits(photos), sure, strict=True)
    )
    # Where a model was not asked for its doubts, nobody knows how many it would accept.
    asked = doubts[0].asked & doubts[1].asked
    share_before, share = float(sure[0][asked].mean()), float(sure[1][asked].mean())
    fewer = share < share_before - FEWER_ACCEPTED
    return Check(
        name="accepted",
        text=f"frozen holdout: {after:.1%} of {share:.0%} accepted without a person are right; the "
        f"champion's: {before:.1%} of {share_before:.0%}"
        f"{f' (over {FEWER_ACCEPTED:.0%} fewer are accepted)' if fewer else ''}",
        passed=bool(after >= min(PROMISED, before) - FEWER_RIGHT and not fewer),
        figures={
            "right": round(after, 4),
            "accepted": round(share, 4),
            "champion_right": round(before, 4),
            "champion_accepted": round(share_before, 4),
        },
    )


def check_other_things(champion: float, challenger: float) -> Check:
    """Check the share of photos of other things that go to a person, as both were measured when trained."""
    return Check(
        name="other things",
        text=f"{challenger:.0%} of photos of none of the classes go to a person; the champion's: "
        f"{champion:.0%}",
        passed=bool(challenger >= champion - FEWER_ASIDE),
    )


def check_gain(
    photos: Predictions, whose: str, how: str = "", *, branches: Sequence[str] = (), by_loss: bool = False
) -> Check:
    """Check that a challenger is better on photos that neither learnt from; tell which branches lose.

    Either more are right, with better log loss; or, ``by_loss``, log loss is better and no fewer are right
    than chance explains. The loss tells sooner: of some ninety photos a handful are wrong at all. It is
    enough for a last layer, which every refit fits again from the trained model's; not for a network, on
    which all that follows builds.
    """
    before, after = _hits(photos)
    by_branch = {
        branch: (int((~before & after & own).sum()), int((before & ~after & own).sum()))
        for branch in dict.fromkeys(branches)
        if (own := np.array([each == branch for each in branches])).any()
    }
    losing = [f"{branch} ({won} won, {lost} lost)" for branch, (won, lost) in by_branch.items() if lost > won]
    loses = f"; fewer right in {', '.join(losing[:MOST_NAMED])}" if losing else ""
    more = f" and {len(losing) - MOST_NAMED} more branches" if len(losing) > MOST_NAMED else ""
    gained = log_losses(photos.champion, photos.targets) - log_losses(photos.challenger, photos.targets)
    luck = float(gained.std() / np.sqrt(len(gained)))
    # As many right is enough only if what they are right with is clearly surer.
    clearly = after.sum() > before.sum() or (after.sum() == before.sum() and gained.mean() > luck)
    return Check(
        name="own gain",
        text=f"{whose}: {int(after.sum())} right against the champion's {int(before.sum())} of "
        f"{len(before)}{how}; log loss {-gained.mean():+.4f} (luck {luck:.4f}){loses}{more}",
        passed=bool(gained.mean() > 0 and (_no_fewer_right(before, after) if by_loss else clearly)),
        figures={
            "right": int(after.sum()),
            "champion_right": int(before.sum()),
            "photos": len(before),
            "log_loss_change": round(float(-gained.mean()), 4),
            "branches": {branch: [won, lost] for branch, (won, lost) in by_branch.items()},
        },
    )


def _no_fewer_right(before: Bools, after: Bools) -> bool:
    lost, won = int((before & ~after).sum()), int((~before & after).sum())
    return worse_by_chance(lost, won) >= UNLIKELY
