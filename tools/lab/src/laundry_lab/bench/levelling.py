"""Load levelling (BSS, docs/requirements.md): bursts of uploads leave the readers as a steady stream.

Uploads arrive in bursts with pauses between, whether or not earlier ones were answered; what cannot be taken
and read at once waits. Counted are whole seconds: uploads that arrived (and were answered 201) against photos
read (``read_at``), over the same interval.
"""

import asyncio
import itertools
import os
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from laundry.demo.photos import unique
from laundry_lab.bench.figures import Figure
from laundry_lab.bench.pictures import multipart, small_photos
from laundry_lab.bench.readings import read_times
from laundry_lab.bench.stage import NotMeasured, Stage
from laundry_lab.bench.synchronous import synchronous
from laundry_lab.patience import Patience
from laundry_lab.report import percentile
from laundry_lab.sender import SEND_ERRORS, Sender, sender_to

BURST = 200
BURSTS = 6
TARGET_RATE = 60.0
"""Photos a second in the mean: DD-02's."""
ARRIVE_S = 1.0
LANES = 8
ROUNDS = 3
GRACE_S = 90.0
QUEUE = "task.submitted"
GROUP = "Load levelling, photos of 20 KB"


@dataclass
class Uploads:
    """The uploads of one branch, and when each that was answered was due."""

    stage: Stage
    sender: Sender
    photo: Callable[[], bytes]
    name: str
    at: list[float] = field(default_factory=list)
    took: list[float] = field(default_factory=list)
    failed: int = 0

    def __post_init__(self) -> None:
        """Sign in once, as a phone does."""
        self._branch = self.stage.branch(self.name)
        self._headers = self.stage.headers("helper", self._branch)

    async def burst(self, size: int) -> None:
        """Send ``size`` uploads as fast as a few clients are answered."""
        left = iter(range(size))

        async def lane() -> None:
            for _ in left:
                await self._once()

        await asyncio.gather(*(lane() for _ in range(LANES)))

    async def arrive(self, size: int, *, within_s: float) -> None:
        """Start ``size`` uploads evenly over a period, answered or not; returns when all are answered."""
        began = time.time()

        async def later(number: int) -> None:
            due = began + number * within_s / size
            await asyncio.sleep(max(0.0, due - time.time()))
            await self._once(due)

        await asyncio.gather(*(later(number) for number in range(size)))

    async def _once(self, due: float | None = None) -> None:
        """Upload a photo; its time counts from when it was due, or from now."""
        began = time.time() if due is None else due
        body, content_type = multipart(self.photo(), self._branch)
        try:
            answer = await self.sender.post("/tasks", body, {**self._headers, "Content-Type": content_type})
        except SEND_ERRORS:
            self.failed += 1
            return
        if answer.status == 201:
            self.at.append(began)
            self.took.append(time.time() - began)
        else:
            self.failed += 1

    async def all_read(self) -> list[datetime]:
        """Wait until every one is read, or no more are; returns when each was."""
        patience = Patience(GRACE_S)
        async with self.stage.client("helper") as client:
            while True:
                found = await read_times(self.stage, client, self._branch)
                read = list(found.values())
                if len(read) >= len(self.at) or not patience.lasts(len(self.at) - len(read)):
                    return read
                await asyncio.sleep(0.5)


async def measure(stage: Stage) -> list[Figure]:
    """Measure one burst, then send bursts: as close together as they are read, and at the target rate."""
    if not await stage.until_empty(QUEUE, within_s=GRACE_S):
        raise NotMeasured(f"levelling: {QUEUE} did not become empty within {GRACE_S:.0f} s")
    drawn = itertools.cycle(await asyncio.to_thread(small_photos))

    def photo() -> bytes:
        return unique(next(drawn))

    # More of them, but none larger: as many connections are open as there are uploads in one.
    size, bursts = stage.many(BURST, least=20, grows=False), stage.many(BURSTS, least=2)
    async with sender_to(stage.document["helper_url"], connections=size) as sender:
        await Uploads(stage, sender, photo, "warm").burst(LANES)
        advance = stage.say("load levelling: a burst, and the synchronous design, by turns", ROUNDS)
        accepted, together, spans = [], [], []
        async with synchronous(stage, photo, lanes=LANES) as answered_together:
            for turn in range(ROUNDS):
                rate, span = await _one_burst(Uploads(stage, sender, photo, f"once-{turn}"), size)
                accepted.append(rate)
                spans.append(span)
                together.append(await answered_together(size))
                advance(1)
        took = statistics.median(spans)
        # As close together as they are read: the readers have no pause, whatever arrives when.
        busy = await _bursts(stage, Uploads(stage, sender, photo, "busy"), size, bursts, took)
        every_s = size / TARGET_RATE
        steady = await _bursts(stage, Uploads(stage, sender, photo, "steady"), size, bursts, every_s)
    uploads, at_once = steady.uploads, statistics.median(accepted)
    ratio = variance(busy.into) / variance(busy.out) if variance(busy.out) else float("inf")
    return [
        Figure(
            GROUP,
            "variance of input ÷ variance of output",
            ratio,
            "×",
            5,
            at_most=False,
            note=f"{bursts} bursts of {size} uploads in a second, one each {took:.1f} s",
        ),
        Figure(
            GROUP,
            "input: standard deviation",
            variance(busy.into) ** 0.5,
            "/s",
            note=f"mean {busy.rate:.1f}/s",
        ),
        Figure(GROUP, "one burst alone, until its last photo is read", took, "s"),
        Figure(GROUP, "output: standard deviation", variance(busy.out) ** 0.5, "/s"),
        Figure(GROUP, "lost", busy.lost + steady.lost, "", 0, note=f"of {2 * bursts * size}"),
        Figure(
            GROUP,
            f"processor share at {TARGET_RATE:.0f}/s",
            100 * steady.share,
            "%",
            80,
            note=f"stack and client, of {os.cpu_count()} cores; a burst each {every_s:.1f} s",
        ),
        Figure(
            GROUP,
            "uploads answered in a burst",
            at_once,
            "/s",
            note=f"{LANES} clients, {ROUNDS} bursts: {min(accepted):.0f} to {max(accepted):.0f}",
        ),
        Figure(
            GROUP,
            "the same work inside the request",
            statistics.median(together),
            "/s",
            note="PUT, decode, model, INSERT before the answer; one process takes, three read; "
            f"by turns: {min(together):.0f} to {max(together):.0f}",
        ),
        Figure(GROUP, "answered, p50 in these bursts", percentile(uploads.took, 0.5) * 1000, "ms"),
        Figure(GROUP, "answered, p95 in these bursts", percentile(uploads.took, 0.95) * 1000, "ms", 1000),
        Figure(GROUP, "ours ÷ synchronous", at_once / statistics.median(together), "×", 1.5, at_most=False),
    ]


@dataclass
class _Sent:
    """Bursts that were sent, a second each; ``into`` and ``out`` count what arrived and was read in each."""

    uploads: Uploads
    into: list[int]
    out: list[int]
    rate: float
    share: float
    lost: int


async def _bursts(stage: Stage, uploads: Uploads, size: int, bursts: int, every_s: float) -> _Sent:
    advance = stage.say("load levelling: bursts", bursts)
    began, used, own = time.time(), stage.processor_s(""), time.process_time()
    for number in range(bursts):
        await uploads.arrive(size, within_s=ARRIVE_S)
        await asyncio.sleep(max(0.0, began + (number + 1) * every_s - time.time()))
        advance(1)
    span = time.time() - began
    share = (stage.processor_s("") - used + time.process_time() - own) / (span * (os.cpu_count() or 1))
    read = await uploads.all_read()
    return _Sent(
        uploads,
        a_second([at - began for at in uploads.at], span),
        a_second([at.timestamp() - began for at in read], span),
        len(uploads.at) / span,
        share,
        uploads.failed + len(uploads.at) - len(read),
    )


async def _one_burst(once: Uploads, size: int) -> tuple[float, float]:
    """Send one burst. Returns uploads answered a second, and the seconds until all are read."""
    began = time.time()
    await once.burst(size)
    answered = time.time() - began
    if once.failed:
        raise NotMeasured(f"levelling: {once.failed} of {size} uploads failed")
    read = await once.all_read()
    if len(read) < size:
        raise NotMeasured(f"levelling: {len(read)} of {size} photos were read")
    return size / answered, max(read).timestamp() - began


def a_second(moments: Sequence[float], span: float) -> list[int]:
    """Count events per whole second of an interval."""
    counted = Counter(int(at) for at in moments if at >= 0)
    return [counted[second] for second in range(int(span))]


def variance(counts: Sequence[int]) -> float:
    """Return the variance of counts a second."""
    return statistics.pvariance(counts) if counts else 0.0
