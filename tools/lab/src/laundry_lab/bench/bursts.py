"""Load levelling by the queue alone: bursts of messages, and workers that sleep rather than compute."""

import asyncio
from contextlib import AsyncExitStack

from laundry_lab.bench.figures import Figure
from laundry_lab.bench.levelling import a_second, variance
from laundry_lab.bench.roles import QUEUE
from laundry_lab.bench.scratch import scratch_space
from laundry_lab.bench.stage import NotMeasured, Stage
from laundry_lab.bench.workers import worker
from laundry_lab.load.draining import ready, until_empty

WORKERS, WORK_S = 3, 0.02
BURST, EVERY_S, BURSTS = 480, 4.0, 6
GROUP = "Load levelling by the queue, 1 KB messages"


async def measure(stage: Stage) -> list[Figure]:
    """Measure bursts of messages on both sides of a queue."""
    bursts = stage.many(BURSTS, least=3)
    number = BURST * bursts
    advance = stage.say("load levelling: bursts of messages", 1)
    async with scratch_space(stage) as scratch, AsyncExitStack() as stack:
        order = {"amqp_url": scratch.amqp_url, "prefetch": 1, "work_s": WORK_S}
        workers = [await stack.enter_async_context(worker("consume", **order)) for _ in range(WORKERS)]
        sending = {"amqp_url": scratch.amqp_url, "number": number, "burst": BURST, "every_s": EVERY_S}
        publisher = await stack.enter_async_context(worker("publish", rate=0, bytes=1024, **sending))
        told = await publisher.hear("published", within_s=bursts * EVERY_S + 60)
        if told["failed"]:
            raise NotMeasured(f"load levelling: {told['failed']} of {number} messages were not confirmed")
        # What waits is a backlog of one burst at most, but workers may be slower than they are told to be.
        if held := await until_empty(ready(scratch.amqp_url, QUEUE), asyncio.Event(), stage.say):
            raise NotMeasured(f"load levelling: {held} of {number} messages still wait")
        seen = [await worker.end() for worker in workers]
    advance(1)
    sent = {identifier: at / 1e9 for one in seen for identifier, _, at, _ in one["seen"]}
    ended = [at / 1e9 for one in seen for at in one["ended"] if at]
    if not sent or not ended:
        raise NotMeasured("load levelling: nothing was handled")
    began, span = min(sent.values()), bursts * EVERY_S
    into, out = (a_second([at - began for at in times], span) for times in (list(sent.values()), ended))
    one_after_another = WORKERS / WORK_S
    # Until the last of the first burst was confirmed, from when all of them were due.
    accepted = BURST / told["confirmed"][BURST - 1]
    return [
        Figure(
            GROUP,
            "variance of input ÷ variance of output",
            variance(into) / variance(out) if variance(out) else float("inf"),
            "×",
            5,
            at_most=False,
            note=f"{bursts} bursts of {BURST}, one each {EVERY_S:.0f} s; "
            f"{WORKERS} workers of {WORK_S * 1000:.0f} ms",
        ),
        Figure(GROUP, "input: standard deviation", variance(into) ** 0.5, "/s"),
        Figure(GROUP, "output: standard deviation", variance(out) ** 0.5, "/s"),
        Figure(GROUP, "lost", number - len(sent), "", 0, note=f"of {number}"),
        Figure(
            GROUP,
            "taken in a burst ÷ the work inside the request",
            accepted / one_after_another,
            "×",
            1.5,
            at_most=False,
            note=f"{accepted:.0f}/s against {one_after_another:.0f}/s that the workers can do; 256 in flight",
        ),
    ]
