"""Which examples are used for training, and with what weight. Knows no server and no framework.

Photos of the frozen holdout are never trained on; a picture is used once; contradicting labels of one
picture are left out; so are those of careless labellers, and no labeller's weight exceeds a cap.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Role = Literal["learnt", "judging", "left out"]

MOST_OF_ONE_OWNER = 300.0
"""Most weight of one person's labels, in examples; who has confirmed more counts less for each."""

IMPOSSIBLE = 0.02
"""A label that a model gives less than this contradicts it."""

CARELESS_LEAST = 10
CARELESS_CORRECTIONS = 4
CARELESS_SHARE = 0.4
"""Share of corrections that contradict what the person's own other labels teach. Random labels do so in half
of theirs or more, even a few among many right ones; right ones in a third at most, also of a person who
confirms nothing and corrects only what was read wrong (measured on held-out households).
"""

CONTRARY_SHARE = 0.5
"""Share of new labels that the champion holds for impossible: likely wrong in one same way."""

SEVERAL_KINDS = "several or unknown kinds of garment"
HELD_OUT_PHOTO = "the picture is in the frozen holdout"
HELD_OUT_BRANCH = "the same picture is in a branch of the frozen holdout"
CONTRADICTED = "labels of the same picture contradict each other"
REPEATED = "the same picture is there already"


@dataclass(frozen=True)
class CandidateExample:
    """An example whose photo was read; ``group`` numbers the picture, equal for near-duplicates."""

    id: str
    target: int | None
    group: int
    owner: str
    confirmed_at: datetime
    judges: bool
    held_out: bool


@dataclass(frozen=True)
class Assignment:
    """The role of an example, and the reason if it is left out."""

    role: Role
    reason: str | None = None


def assign_roles(candidates: Sequence[CandidateExample]) -> list[Assignment]:
    """Assign each example its role, before label quality is assessed."""
    groups: dict[int, list[CandidateExample]] = defaultdict(list)
    for each in candidates:
        if each.target is not None:
            groups[each.group].append(each)
    return [_assignment(each, groups.get(each.group, [])) for each in candidates]


def _assignment(each: CandidateExample, same: Sequence[CandidateExample]) -> Assignment:
    if each.target is None:
        return Assignment("left out", SEVERAL_KINDS)
    if each.held_out:
        return Assignment("left out", HELD_OUT_PHOTO)
    if len({other.target for other in same}) > 1:
        return Assignment("left out", CONTRADICTED)
    if not each.judges and any(other.judges for other in same):
        return Assignment("left out", HELD_OUT_BRANCH)
    newest = max(same, key=lambda other: (other.confirmed_at, other.id))
    if newest.id != each.id:
        return Assignment("left out", REPEATED)
    return Assignment("judging" if each.judges else "learnt")


@dataclass(frozen=True)
class LabelQuality:
    """How well a person's new labels agree with all others.

    Attributes:
        corrections: labels that are not the champion's first guess.
        contradicted: corrections that a model of all the others, the person's own too, holds for impossible.
        contrary: labels that the champion holds for impossible.
    """

    labels: int
    corrections: int
    contradicted: int
    contrary: int

    @property
    def careless(self) -> bool:
        """Whether these labels must not be trained on."""
        if self.labels < CARELESS_LEAST:
            return False
        contradicts = self.contradicted > CARELESS_SHARE * self.corrections
        return (
            contradicts and self.contradicted >= CARELESS_CORRECTIONS
        ) or self.contrary > CONTRARY_SHARE * self.labels

    @property
    def summary(self) -> str:
        """Say to people why these labels are careless."""
        return (
            f"careless labels: of this person's {self.labels} new ones {self.corrections} correct the "
            f"champion, {self.contradicted} contradict the rest, and {self.contrary} are impossible to the "
            "champion"
        )


@dataclass(frozen=True)
class LabelEvidence:
    """What two models say of one label.

    Attributes:
        told: its probability under a model that had not seen the example.
        championed: its probability under the champion.
        corrects: whether it differs from the champion's first guess.
    """

    told: float
    championed: float
    corrects: bool


def assess(
    owners: Sequence[str], opinions: Sequence[LabelEvidence], new: Sequence[bool]
) -> dict[str, LabelQuality]:
    """Assess each person's new labels.

    Args:
        owners: who labelled, one for each example.
        opinions: what is thought of each label.
        new: whether the champion has not learnt from it; only these count.
    """
    own: dict[str, list[LabelEvidence]] = defaultdict(list)
    for owner, each, is_new in zip(owners, opinions, new, strict=True):
        if is_new:
            own[owner].append(each)
    return {
        owner: LabelQuality(
            labels=len(labels),
            corrections=sum(each.corrects for each in labels),
            contradicted=sum(each.corrects and each.told < IMPOSSIBLE for each in labels),
            contrary=sum(each.championed < IMPOSSIBLE for each in labels),
        )
        for owner, labels in own.items()
    }


def weights(owners: Sequence[str]) -> list[float]:
    """Weight examples so that no labeller counts for more than ``MOST_OF_ONE_OWNER``."""
    count = Counter(owners)
    return [min(1.0, MOST_OF_ONE_OWNER / count[owner]) for owner in owners]
