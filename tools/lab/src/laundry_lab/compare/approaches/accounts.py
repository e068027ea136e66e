"""What became of the photos of one trial: pure counting, of what was told and of the rows that are there."""

import itertools
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from laundry_lab.report import percentile


@dataclass(frozen=True)
class Answer:
    """What the phone was told: when the photo was due, when the answer came, and which."""

    due: float
    at: float
    accepted: bool


@dataclass
class Account:
    """One trial; times are seconds of one clock.

    Attributes:
        answers: by photo. One whose helper was killed before it could answer is in none of them.
        effects: the times of each photo's effects: none, one, or too many.
        received: when a worker first had it.
        cut_off: how many photos got no answer because their helper was killed with them in hand.
    """

    answers: dict[str, Answer] = field(default_factory=dict)
    effects: dict[str, list[float]] = field(default_factory=dict)
    received: dict[str, float] = field(default_factory=dict)
    cut_off: int = 0

    @property
    def accepted(self) -> dict[str, Answer]:
        """The photos that were promised to be read."""
        return {photo: answer for photo, answer in self.answers.items() if answer.accepted}

    @property
    def refused(self) -> int:
        """Photos whose phone was told to send them again, or reached nobody."""
        return len(self.answers) - len(self.accepted)

    @property
    def lost(self) -> int:
        """Photos that were promised to be read and never were."""
        return sum(not self.effects.get(photo) for photo in self.accepted)

    @property
    def doubled(self) -> int:
        """Effects beyond the first of a photo."""
        return sum(max(0, len(times) - 1) for times in self.effects.values())

    @property
    def unanswered(self) -> int:
        """Photos that had their effect, though nobody was told that they were accepted."""
        return sum(bool(times) and photo not in self.accepted for photo, times in self.effects.items())

    def helper_was_away(self, due: Iterable[float], killed_at: float, back_at: float) -> None:
        """Count what was due until a killed helper was back and has no answer.

        What was due while it was away reached nobody, which is a refusal at once: left out, a design would
        look the better the longer its helper is away. What was due before had been cut off.
        """
        answered = Counter(answer.due for answer in self.answers.values())
        without = Counter(each for each in due if each <= back_at) - answered
        for number, each in enumerate(without.elements()):
            if each > killed_at:
                self.answers[f"reached-nobody-{number}"] = Answer(each, each, accepted=False)
            else:
                self.cut_off += 1

    @property
    def complete(self) -> bool:
        """Whether all that was promised is there."""
        return self.lost == 0

    def answer_s(self) -> list[float]:
        """Seconds from when each photo was due to its answer."""
        return [answer.at - answer.due for answer in self.accepted.values()]

    def effect_s(self) -> list[float]:
        """Seconds from when each accepted photo was due to its first effect; infinite if it is lost."""
        return [
            min(self.effects[photo]) - answer.due if self.effects.get(photo) else math.inf
            for photo, answer in self.accepted.items()
        ]

    def hop_s(self) -> list[float]:
        """Seconds from the answer until a worker has the photo; a worker may be quicker than the answer."""
        return [
            max(0.0, self.received[photo] - answer.at)
            for photo, answer in self.accepted.items()
            if photo in self.received
        ]

    def rate(self) -> float:
        """Effects a second between the first and the last: how long workers slept before does not count."""
        times = [min(each) for each in self.effects.values() if each]
        took = max(times) - min(times) if times else 0.0
        return (len(times) - 1) / took if took > 0 else 0.0

    def accepted_rate(self) -> float:
        """Accepted photos a second."""
        if not self.accepted:
            return 0.0
        took = max(a.at for a in self.accepted.values()) - min(a.due for a in self.accepted.values())
        return len(self.accepted) / took if took > 0 else 0.0

    def resumed_after(self, killed_at: float) -> float:
        """Seconds from a kill until all is as before: answers come, what had been accepted has its effect
        (but for what is lost), and so has a photo that was due after the kill. Infinite if one never happens.
        """
        before = [
            min(self.effects[photo])
            for photo, answer in self.accepted.items()
            if answer.at <= killed_at and self.effects.get(photo)
        ]
        after = [(answer.at, photo) for photo, answer in self.accepted.items() if answer.due > killed_at]
        new = [min(self.effects[photo]) for _, photo in after if self.effects.get(photo)]
        if not after or not new:
            return math.inf
        return max(min(after)[0], min(new), *before, killed_at) - killed_at

    def longest_pause(self, since: float) -> float:
        """The longest time without an effect after ``since``, seconds."""
        times = sorted(at for each in self.effects.values() for at in each[:1] if at >= since)
        return max((b - a for a, b in itertools.pairwise([since, *times])), default=math.inf)


def percentiles(prefix: str, seconds: Iterable[float]) -> dict[str, float]:
    """Return p50 and p99 in ms by the names of figures; nothing of nothing."""
    values = list(seconds)
    if not values:
        return {}
    return {
        f"{prefix}_{name}_ms": 1000 * percentile(values, share)
        for name, share in (("p50", 0.5), ("p99", 0.99))
    }
