"""What is wrong with a queue, from its counts; and how old its oldest message is, from watching them."""

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

OLD_S = 60.0
NEARLY_FULL = 0.8
KEPT_SAMPLES = 2_000


@dataclass(frozen=True)
class Counts:
    """What the broker says of one queue; rates are a second's, ``published`` since its node started.

    Attributes:
        known: the broker tells how many it holds; of a queue with a new leader it does not for some seconds.
    """

    name: str
    ready: int = 0
    unacked: int = 0
    published: int = 0
    publish_rate: float = 0.0
    deliver_rate: float = 0.0
    consumers: int = 0
    state: str = "unknown"
    members: int = 1
    online: int = 1
    bytes: int = 0
    known: bool = True

    @property
    def messages(self) -> int:
        """Everything that the queue holds."""
        return self.ready + self.unacked


@dataclass(frozen=True)
class Age:
    """How old a queue's oldest message is.

    Attributes:
        bound: ``at_least`` where it was there already when watching began, else ``at_most``.
    """

    seconds: float
    bound: Literal["at_least", "at_most"]


class Ages:
    """Tells the age of a queue's head without touching it: quorum queues name no time of theirs.

    Messages leave in order, so as many were published after the head as now wait behind it; the head came
    between the two samples around that count.
    """

    def __init__(self, queues: Collection[str]) -> None:
        """Take the names of the queues; samples of any other, such as those of answers, are not kept."""
        self._queues = frozenset(queues)
        self._samples: dict[str, deque[tuple[float, int]]] = {}

    def observe(self, counts: Counts, now: float) -> None:
        """Note a sample; only samples whose count differs are kept."""
        if counts.name not in self._queues:
            return
        samples = self._samples.setdefault(counts.name, deque(maxlen=KEPT_SAMPLES))
        if samples and counts.published < samples[-1][1]:
            samples.clear()  # the node's counters were reset
        if len(samples) > 1 and samples[-1][1] == samples[-2][1] == counts.published:
            samples[-1] = (now, counts.published)
        else:
            samples.append((now, counts.published))

    def oldest(self, counts: Counts, now: float) -> Age | None:
        """Return the age of the oldest message, or None when there is none."""
        if not counts.messages:
            return None
        before_head = counts.published - counts.messages
        samples = self._samples.get(counts.name)
        if not samples:
            return Age(0.0, "at_least")
        # The last moment at which the head had not been published yet.
        earlier = [at for at, published in samples if published <= before_head]
        if not earlier:
            return Age(max(0.0, now - samples[0][0]), "at_least")
        return Age(max(0.0, now - earlier[-1]), "at_most")

    def quiet_s(self, counts: Counts, now: float) -> float:
        """Return for how long nothing has been published to a queue, at least; 0 if that is not known."""
        samples = self._samples.get(counts.name, ())
        alike = [at for at, published in samples if published == counts.published]
        return max(0.0, now - alike[0]) if alike else 0.0


def filled(counts: Counts, *, max_bytes: int | None = None, max_length: int | None = None) -> float:
    """Return how full a queue is by whichever limit is nearer, 1 for full."""
    by_number = counts.messages / max_length if max_length else 0.0
    return max(by_number, counts.bytes / max_bytes if max_bytes else 0.0)


def warnings(
    main: Counts,
    dead: Counts | None,
    *,
    age: Age | None,
    max_length: int,
    stream: bool,
    followed: bool = True,
    max_bytes: int | None = None,
    dead_max_bytes: int | None = None,
) -> list[str]:
    """Return the codes of what a person should look at, the most urgent first.

    Args:
        followed: somebody is to consume it all the time.
    """
    found: list[str] = []
    if main.state not in ("running", "idle"):
        found.append("not-running")
    if main.online < main.members:
        found.append("replica-offline")
    if followed and main.consumers == 0:
        found.append("no-consumers")
    if not stream:
        if filled(main, max_length=max_length, max_bytes=max_bytes) >= NEARLY_FULL:
            found.append("nearly-full")
        if age is not None and age.seconds >= OLD_S:
            found.append("old-messages")
    if dead is not None and dead.messages:
        found.append("dead-letters")
        if filled(dead, max_bytes=dead_max_bytes) >= NEARLY_FULL:
            found.append("dead-letters-nearly-full")
    return found
