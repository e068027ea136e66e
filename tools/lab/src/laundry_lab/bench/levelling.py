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
from laundry_lab.bench import synchronous
from laundry_lab.bench.figures import Figure
from laundry_lab.bench.pictures import multipart, small_photos
from laundry_lab.bench.readings import read_times
from laundry_lab.bench.stage import NotMeasured, Stage
from laundry_lab.report import percentile
from laundry_lab.sender import SEND_ERRORS, Sender, sender_to

BURST = 200
BURSTS = 6
TARGET_RATE = 60.0
"""Photos a second in the mean: DD-02's."""
ARRIVE_S = 1.0
LANES = 8
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
        """Wait until every one is read; returns when each was, also if some are not in time."""
        deadline = time.monotonic() + GRACE_S
        async with self.stage.client("helper") as client:
            while True:
                found = await read_times(self.stage, client, self._branch)
                read = list(found.values())
                if len(read) >= len(self.at) or time.monotonic() > deadline:
                    return read
                await asyncio.sleep(0.5)


async def measure(stage: Stage) -> list[Figure]:
    """Measure one burst, then send bursts at the target rate in the mean."""
    if not await stage.until_empty(QUEUE, within_s=GRACE_S):
        raise NotMeasured(f"levelling: {QUEUE} did not become empty within {GRACE_S:.0f} s")
    drawn = itertools.cycle(await asyncio.to_thread(small_photos))

    def photo() -> bytes:
        return unique(next(drawn))

    size, bursts = stage.many(BURST, least=20), stage.many(BURSTS, least=2)
    async with sender_to(stage.document["helper_url"], connections=size) as sender:
        await Uploads(stage, sender, photo, "warm").burst(LANES)
        advance = stage.say("load levelling: one burst", 1)
        accepted, took = await _one_burst(Uploads(stage, sender, photo, "once"), size)
        advance(1)
        together = await synchronous.measure(stage, photo, size, lanes=LANES)
        advance = stage.say("load levelling: bursts", bursts)
        period = size / TARGET_RATE
        began, used, own = time.time(), stage.processor_s(""), time.process_time()
        done = Uploads(stage, sender, photo, "steady")
        for number in range(bursts):
            await done.arrive(size, within_s=ARRIVE_S)
            await asyncio.sleep(max(0.0, began + (number + 1) * period - time.time()))
            advance(1)
        span = time.time() - began
        share = (stage.processor_s("") - used + time.process_time() - own) / (span * (os.cpu_count() or 1))
        read = await done.all_read()
    into = a_second([at - began for at in done.at], span)
    out = a_second([at.timestamp() - began for at in read], span)
    ratio = variance(into) / variance(out) if variance(out) else float("inf")
    rate = len(done.at) / span
    return [
        Figure(
            GROUP,
            "variance of input ÷ variance of output",
            ratio,
            "×",
            5,
            at_most=False,
            note=f"{bursts} bursts of {size} uploads in a second, one each {period:.1f} s",
        ),
        Figure(GROUP, "input: standard deviation", variance(into) ** 0.5, "/s", note=f"mean {rate:.1f}/s"),
        Figure(GROUP, "one burst alone, until its last photo is read", took, "s"),
        Figure(GROUP, "output: standard deviation", variance(out) ** 0.5, "/s"),
        Figure(GROUP, "lost", done.failed + len(done.at) - len(read), "", 0, note=f"of {bursts * size}"),
        Figure(
            GROUP,
            "processor share",
            100 * share,
            "%",
            80,
            note=f"the stack and this client, of {os.cpu_count()} cores",
        ),
        Figure(GROUP, "uploads answered in a burst", accepted, "/s", note=f"{LANES} clients, one burst"),
        Figure(
            GROUP,
            "the same work inside the request",
            together,
            "/s",
            note="PUT, decode, model, INSERT before the answer; one process takes, three read",
        ),
        Figure(GROUP, "answered, p50 in the bursts", percentile(done.took, 0.5) * 1000, "ms"),
        Figure(GROUP, "answered, p95 in the bursts", percentile(done.took, 0.95) * 1000, "ms", 1000),
        Figure(GROUP, "ours ÷ synchronous", accepted / together, "×", 1.5, at_most=False),
    ]


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
