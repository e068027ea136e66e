"""Consuming 1 KB events at a steady rate, published by another process; with and without an inbox."""

import asyncio

from laundry_lab.bench.figures import Figure
from laundry_lab.bench.scratch import Scratch, scratch_space
from laundry_lab.bench.stage import NotMeasured, Stage
from laundry_lab.bench.workers import worker
from laundry_lab.report import percentile

BYTES = 1024
RATE, SECONDS = 200, 10
BACKLOG = 4000
PREFETCH = 50
GROUP = f"Consume, 1 KB, {RATE}/s"


async def measure(stage: Stage) -> list[Figure]:
    """Measure latency at a steady rate, then how fast a backlog is consumed."""
    found: list[Figure] = []
    for inbox in (False, True):
        async with scratch_space(stage) as scratch:
            taken = await _latency(stage, scratch, inbox=inbox)
            rate = await _backlog(stage, scratch, inbox=inbox)
        kind = "with an inbox row" if inbox else "whole path"
        note = "INSERT and COMMIT on one of 5 connections" if inbox else "publish() called → handler called"
        target = None if inbox else 8
        count = f"{len(taken)} events, {note}"
        found += [
            Figure(GROUP, f"{kind}: p50", percentile(taken, 0.5) * 1000, "ms", note=count),
            Figure(GROUP, f"{kind}: p99", percentile(taken, 0.99) * 1000, "ms", target),
            Figure(
                GROUP,
                f"{kind}: a backlog of {stage.many(BACKLOG, least=200)}",
                rate,
                "/s",
                None if inbox else 2500,
                at_most=False,
                note="one process, prefetch 200",
            ),
        ]
    return found


def _order(scratch: Scratch, *, inbox: bool) -> dict[str, str]:
    url = scratch.database_url.replace("postgresql://", "postgresql+asyncpg://", 1)
    return {"amqp_url": scratch.amqp_url, **({"database_url": url} if inbox else {})}


async def _latency(stage: Stage, scratch: Scratch, *, inbox: bool) -> list[float]:
    """Seconds from publish to the handler, or to its committed inbox row."""
    number = stage.many(RATE * SECONDS, least=RATE)
    advance = stage.say(f"consuming at {RATE}/s{', inbox' if inbox else ''}", 1)
    publishing = {"amqp_url": scratch.amqp_url, "bytes": BYTES, "rate": RATE}
    async with worker(
        "consume", prefetch=PREFETCH, number=number, **_order(scratch, inbox=inbox)
    ) as consumer:
        async with worker("publish", number=number, **publishing) as publisher:
            told = await publisher.hear("published", within_s=60)
            if told["failed"]:
                raise NotMeasured(f"consuming: {told['failed']} of {number} events were not confirmed")
            await consumer.hear("all", within_s=60)
        seen = await consumer.end()
    advance(1)
    handled = zip(seen["seen"], seen["ended"], strict=True) if inbox else ((s, s[3]) for s in seen["seen"])
    # Skip the first messages, which pay for opening the pool.
    return [(at - sent) / 1e9 for (_, _, sent, _), at in handled][PREFETCH:]


async def _backlog(stage: Stage, scratch: Scratch, *, inbox: bool) -> float:
    """Messages a second once everything waits already."""
    number = stage.many(BACKLOG, least=200)
    advance = stage.say(f"consuming a backlog{', inbox' if inbox else ''}", 1)
    order = {"amqp_url": scratch.amqp_url, "bytes": BYTES, "rate": 0, "number": number}
    async with worker("publish", **order) as publisher:
        await publisher.hear("published", within_s=60)
    await asyncio.sleep(0.5)
    async with worker("consume", prefetch=200, number=number, **_order(scratch, inbox=inbox)) as consumer:
        await consumer.hear("all", within_s=60)
        ended = (await consumer.end())["ended"]
    advance(1)
    return float((len(ended) - 1) / ((ended[-1] - ended[0]) / 1e9))
