"""Drives a run: starts the generator in a process of its own, watches the stack, and gathers the results."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

from laundry_catalogue import process_names
from laundry_lab.bench.scratch import scratch_space
from laundry_lab.bench.stage import Advance, NotMeasured, Say, Stage, suspended
from laundry_lab.bench.workers import Worker, worker
from laundry_lab.load import draining, patterns
from laundry_lab.load.arrivals import Requests
from laundry_lab.load.runs import Run
from laundry_lab.load.surroundings import surroundings
from laundry_lab.load.thresholds import Threshold
from laundry_lab.load.watching import Watch
from laundry_servers.errors import LaundryError
from laundry_servers.identity import max_hours

ROLE = "helper"
QUEUES = ("task.submitted", "task.read")
STRAIGHT_QUEUE = "preference.created"
EVENT_BYTES = 1024
PREFETCH = 50
BEGIN_S = 60.0
END_S = 90.0
HELD_S = 2.0
LOOK_S = 0.25
# The stack's processes beside those of services; what is held may be the beginning of several names.
SERVERS = ("rabbitmq-1", "rabbitmq-2", "rabbitmq-3", "epmd", "postgres", "s3", "fcm", "fork-server")


@dataclass(frozen=True)
class Asked:
    """What is asked of a run.

    Raises:
        LaundryError: no stack has a process of the name to hold, or no token is good for so long.

    Attributes:
        arrivals: when each photo is there, seconds since the beginning.
        even: whether that is at even intervals.
        straight: whether events go to the broker itself rather than photos to the helper.
        url: where photos are sent; None is the stack's helper.
        hold: a process of the stack that is stopped for ``HELD_S`` in the middle of the run.
        workers: consumers of a straight run, each of which works ``work_s`` on an event.
    """

    title: str
    pattern: str
    arrivals: list[float]
    seed: int | None
    thresholds: list[Threshold]
    even: bool = False
    batch: int = 1
    straight: bool = False
    photo: str = "small"
    at_once: int = 64
    waiting: int = 10_000
    grace_s: float = 35.0
    url: str | None = None
    authorization: str | None = field(default=None, repr=False)
    branch: str | None = None
    hold: str | None = None
    workers: int = 3
    work_s: float = 0.0

    def __post_init__(self) -> None:
        """Check before a stack is started for it."""
        names = (*process_names(), *SERVERS)
        if self.hold is not None and not any(name.startswith(self.hold) for name in names):
            raise LaundryError(f"No stack has a process {self.hold!r} to hold; there are {', '.join(names)}.")
        hours = max_hours(ROLE)
        if self.url is None and not self.straight and self.token_s > 3600 * hours:
            raise LaundryError(
                f"The services take a token for {hours:g} hours at most, and this run has one: arrivals over "
                f"{self.arrivals[-1] / 3600:.1f} hours are too long. Change --for or --faster."
            )

    @property
    def token_s(self) -> int:
        """How long the token has to be good: until the last answer, whatever comes before the first photo."""
        return math.ceil(BEGIN_S + self.arrivals[-1] + self.grace_s + END_S)

    def plan(self) -> dict[str, Any]:
        """Return what the report says was asked."""
        return {
            "title": self.title,
            "pattern": self.pattern,
            "seed": self.seed,
            "even": self.even,
            "photos": len(self.arrivals),
            "seconds": round(self.arrivals[-1], 3),
            "batch": self.batch,
            "target": "the broker" if self.straight else self.url or "helper",
            "photo": f"events of {EVENT_BYTES} B" if self.straight else self.photo,
            "at_once": self.at_once,
            "waiting": self.waiting,
            "hold": self.hold,
            "consumers": f"{self.workers}, {self.work_s * 1000:g} ms of work each" if self.straight else None,
        }

    def order(self) -> dict[str, Any]:
        """Return what the generator needs to know, whatever it sends to."""
        return {
            "due": patterns.in_batches(self.arrivals, self.batch),
            "photos": len(self.arrivals),
            "batch": self.batch,
            "straight": self.straight,
            "at_once": self.at_once,
            "waiting": self.waiting,
            "grace_s": self.grace_s,
            "seed": self.seed or 0,
            "photo": self.photo,
        }


async def drive(stage: Stage | None, asked: Asked, stop: asyncio.Event, say: Say) -> Run:
    """Run a load.

    Args:
        stage: the running stack to measure; None reports only what the generator sees.
        stop: ends the run early; what was measured so far is reported.

    Raises:
        NotMeasured: the generator did not begin, or did not end.
        LaundryError: this stack has no such process to hold.
    """
    if stage is not None and asked.hold is not None and not _named(stage, asked.hold):
        names = ", ".join(stage.document["pids"])
        raise LaundryError(f"The stack has no process {asked.hold!r}; there are {names}.")
    run = Run(asked.plan(), await surroundings(stage), Requests(), thresholds=asked.thresholds)
    if stage is None:
        order = {
            **asked.order(),
            "url": asked.url,
            "branch": asked.branch,
            "authorization": asked.authorization,
        }
        async with _generated(None, asked, order, stop=stop, run=run, say=say):
            pass
    elif asked.straight:
        await _straight(stage, asked, stop, run, say)
    else:
        await _to_the_helper(stage, asked, stop, run, say)
    return run


async def _to_the_helper(stage: Stage, asked: Asked, stop: asyncio.Event, run: Run, say: Say) -> None:
    branch = stage.branch("load")
    order = {
        **asked.order(),
        "url": asked.url or stage.document["helper_url"],
        "branch": branch,
        "authorization": stage.headers(ROLE, branch, seconds=asked.token_s)["Authorization"],
    }
    watch = Watch(stage, QUEUES)
    async with _generated(watch, asked, order, stop=stop, run=run, say=say) as told:
        ids, numbers = told["accepted"]["ids"], told["accepted"]["request"]
        answered_s = time.time() - told["wall"]
        read_at, held = await draining.until_read(stage, watch, branch, set(ids), stop=stop, say=say)
    if read_at is None:
        return
    due = [each / 1e6 for each in run.requests.due_us]
    effects = [
        (due[number], max(0.0, read_at[task] - told["wall"] - due[number]))
        for task, number in zip(ids, numbers, strict=True)
        if task in read_at
    ]
    draining.note(run, effects, held, answered_s)


async def _straight(stage: Stage, asked: Asked, stop: asyncio.Event, run: Run, say: Say) -> None:
    """Publish into a virtual host of the run's own, so that no real consumer receives made-up events."""
    async with AsyncExitStack() as stack:
        scratch = await stack.enter_async_context(scratch_space(stage))
        # A consumer that works takes one event at a time, as a reader with one core does.
        prefetch = 1 if asked.work_s else PREFETCH
        taking = {"amqp_url": scratch.amqp_url, "prefetch": prefetch, "work_s": asked.work_s}
        workers = [await stack.enter_async_context(worker("consume", **taking)) for _ in range(asked.workers)]
        order = {**asked.order(), "amqp_url": scratch.amqp_url, "bytes": EVENT_BYTES}
        watch = Watch(stage, [STRAIGHT_QUEUE], vhost=unquote(urlsplit(scratch.amqp_url).path[1:]))
        watch.also |= {f"consumer-{number}": each.pid for number, each in enumerate(workers, 1)}
        async with _generated(watch, asked, order, stop=stop, run=run, say=say, beside=workers) as told:
            answered_s = time.monotonic() - told["at"]
            waiting = draining.ready(scratch.amqp_url, STRAIGHT_QUEUE)
            await draining.until_empty(waiting, stop, say)
            # What was not confirmed may have arrived all the same; it was promised to nobody.
            had = draining.handled([await each.end() for each in workers], told["at"])
            effects = [had[event_id] for event_id in told["accepted"]["ids"] if event_id in had]
            held = 0 if len(effects) == run.accepted else await draining.given_back(waiting)
    draining.note(run, effects, held, answered_s)


@asynccontextmanager
async def _generated(
    watch: Watch | None,
    asked: Asked,
    order: dict[str, Any],
    *,
    stop: asyncio.Event,
    run: Run,
    say: Say,
    beside: Sequence[Worker] = (),
) -> AsyncIterator[dict[str, Any]]:
    """Run the generator to its end and watch the stack until the block ends.

    Args:
        beside: other processes that have to live as long as the generator.

    Yields:
        what it told: ``accepted``, and when the schedule began (``at`` by the monotonic, ``wall`` by the wall
        clock).
    """
    number = len(order["due"])
    advance = say(f"{asked.title}: {number:,} requests", number)
    async with AsyncExitStack() as stack:
        generator = await stack.enter_async_context(worker("load", **order))
        began = await generator.hear("began", within_s=BEGIN_S)
        run.began_at = datetime.fromtimestamp(began["wall"], UTC)
        if watch is not None:
            watch.also["load generator"] = generator.pid
            await stack.enter_async_context(watch.watching(began["at"]))
            if asked.hold is not None:
                middle = began["at"] + asked.arrivals[-1] / 2
                await stack.enter_async_context(_held(watch.stage, asked.hold, middle, began["at"], run))
        told = await _until_done(generator, order, stop, advance, beside)
        run.interrupted = stop.is_set()
        run.requests = Requests(**told["requests"])
        run.processor_s = told["processor_s"]
        run.accepted, run.refused = len(told["accepted"]["ids"]), told["accepted"]["refused"]
        yield {**told, "at": began["at"], "wall": began["wall"]}
        run.interrupted = stop.is_set()
    if watch is not None:
        run.samples = watch.samples


async def _until_done(
    generator: Worker,
    order: dict[str, Any],
    stop: asyncio.Event,
    advance: Advance,
    beside: Sequence[Worker] = (),
) -> dict[str, Any]:
    """Follow the generator to its report; tells it to end when ``stop`` is set.

    Raises:
        NotMeasured: it, or another of the run's processes, has ended before; or it does not end in time.
    """
    shown, told = 0, False
    deadline = time.monotonic() + order["due"][-1] + order["grace_s"] + END_S
    while time.monotonic() < deadline:
        if stop.is_set() and not told:
            told = True
            generator.ask_to_end()
        for each in beside:
            each.check()
        try:
            said = await generator.next(within_s=LOOK_S)
        except TimeoutError:
            continue
        if said["said"] == "seen":
            advance(len(order["due"]) - shown)
            return said
        if said["said"] == "sent":
            advance(said["arrived"] - shown)
            shown = said["arrived"]
    raise NotMeasured("the load generator did not end in time")


@asynccontextmanager
async def _held(stage: Stage, name: str, middle: float, began: float, run: Run) -> AsyncIterator[None]:
    """Stop a process of the stack (SIGSTOP) in the middle of the run, for ``HELD_S``."""

    async def hold() -> None:
        await asyncio.sleep(max(0.0, middle - time.monotonic()))
        pids = _named(stage, name)
        run.marks.append((time.monotonic() - began, f"{name} stopped for {HELD_S:g} s"))
        async with suspended(pids):
            await asyncio.sleep(HELD_S)

    holding = asyncio.create_task(hold())
    try:
        yield
    finally:
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)


def _named(stage: Stage, name: str) -> list[int]:
    return [pid for each, pid in stage.document["pids"].items() if each.startswith(name)]
