"""The rules of forgetting a person: repeated until nothing can bring the person back. Knows no framework.

A service that has erased a person may write the person again: a token that is still good, a message that was
on its way, a dead letter that is sent back. So the services are asked once at the request, and once more when
every token of that time has ended, no queue holds a message from before, and no dead letter names the person.

A dead letter that is sent back is a new message of an old event: its age tells nothing. So every message that
waits has to be younger than the moment from which on no letter named the person.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Literal

State = Literal["running", "settling", "completed"]


@dataclass(frozen=True)
class ErasurePart:
    """What one service has confirmed: its last attempt, and how many rows of each kind it erased in all."""

    service: str
    attempt: int | None
    rows: dict[str, int]
    forgotten_at: datetime | None


@dataclass(frozen=True)
class Erasure:
    """The forgetting of one person.

    Attributes:
        person_id: none once it is completed.
        attempt: how often the services were asked.
        final: nothing can bring the person back after this attempt.
        dead_letters: how many name the person; none before they were looked at.
        clear_since: from then on no look found one; none while one does, or not all could be looked at.
        asked_at: when the services were asked last; none where an older release asked.
    """

    id: str
    person_id: str | None
    tombstone: str
    requested_by: str
    requested_at: datetime
    attempt: int
    final: bool
    dead_letters: int | None
    completed_at: datetime | None
    parts: tuple[ErasurePart, ...]
    clear_since: datetime | None = None
    asked_at: datetime | None = None

    @property
    def missing(self) -> tuple[str, ...]:
        """The services that have not confirmed the present attempt."""
        return tuple(part.service for part in self.parts if (part.attempt or 0) < self.attempt)

    @property
    def state(self) -> State:
        """``running`` while a service has never confirmed, ``settling`` until the person cannot come back."""
        if self.completed_at is not None:
            return "completed"
        return "running" if any(part.attempt is None for part in self.parts) else "settling"


class Step(Enum):
    """What is to be done about an erasure."""

    WAIT = "wait"
    REPEAT = "repeat"
    COMPLETE = "complete"


@dataclass(frozen=True)
class Surroundings:
    """What could bring a person back.

    Attributes:
        dead_letters: that name the person; None if not all could be looked at.
        drained: no queue holds a message from before a moment at which nothing else could.
    """

    dead_letters: int | None
    drained: bool


@dataclass(frozen=True)
class Backlog:
    """What waits in a queue and in its retry queues.

    Attributes:
        oldest_s: how long ago the oldest came, 0 if none waits; None if that is not known. What waits for a
            retry is as old as it may be: its copy is new each time.
        retried_s: how long nothing has come back from a retry: what did looks young and is not.
    """

    oldest_s: float | None
    retried_s: float


def settled_at(erasure: Erasure, token_life: timedelta) -> datetime:
    """Return when the last token from before the request has ended."""
    return erasure.requested_at + token_life


def is_due(erasure: Erasure, *, now: datetime, token_life: timedelta) -> bool:
    """Whether something may be done: else the surroundings need not be looked at."""
    if erasure.completed_at is not None or erasure.missing:
        return False
    return erasure.final or now >= settled_at(erasure, token_life)


def is_asked_again(erasure: Erasure, *, now: datetime, after: timedelta) -> bool:
    """Whether services are to be asked once more: one has not answered for so long that it never may.

    Its queue was not bound, or its request was discarded. Those that have answered find nothing more.
    """
    if erasure.completed_at is not None or not erasure.missing:
        return False
    return now - (erasure.asked_at or erasure.requested_at) >= after


def next_step(erasure: Erasure, around: Surroundings, *, now: datetime, token_life: timedelta) -> Step:
    """Decide about an erasure."""
    if not is_due(erasure, now=now, token_life=token_life):
        return Step.WAIT
    if erasure.final:
        return Step.COMPLETE
    return Step.REPEAT if around.drained and around.dead_letters == 0 else Step.WAIT


def is_drained(backlogs: Iterable[Backlog], settled_s: float, *, lag_s: float) -> bool:
    """Whether every message that waits is younger than ``settled_s``.

    Args:
        lag_s: so old may be what the broker tells.
    """
    return all(
        each.oldest_s is not None and each.oldest_s + lag_s < min(settled_s, each.retried_s)
        for each in backlogs
    )


def names_person(person: str, texts: Sequence[bytes]) -> bool:
    """Whether a message's body or headers name a person, as a word of its own."""
    spelt = {person, json.dumps(person, ensure_ascii=False)[1:-1], json.dumps(person)[1:-1]}
    words = (re.escape(each.encode()) for each in spelt)
    word = re.compile(rb"(?<![\w.@-])(?:" + b"|".join(words) + rb")(?![\w@-])")
    return any(word.search(text) for text in texts)
