"""Consuming 1 KB events at a steady rate, published by another process; with and without an inbox."""

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import asyncpg

from laundry_lab.bench.figures import Figure
from laundry_lab.bench.scratch import Scratch, scratch_space
from laundry_lab.bench.stage import NotMeasured, Stage
from laundry_lab.bench.workers import worker
from laundry_lab.report import percentile

BYTES = 1024
RATE, SECONDS = 200, 10
BACKLOG = 4000
PREFETCH = 50
ENOUGH_S = 60.0
GROUP = f"Consume, 1 KB, {RATE}/s"


@dataclass(frozen=True)
class _Kind:
    """How messages are consumed, and what is wanted of that."""

    note: str
    inbox: bool = False
    batches: bool = False
    p99_ms: float | None = None
    rate: float | None = None


KINDS = {
    "whole path": _Kind(note="publish() called → handler called", p99_ms=8, rate=2500),
    "with an inbox row": _Kind(inbox=True, note="INSERT and COMMIT on one of 5 connections"),
    "with an inbox row, in batches": _Kind(
        inbox=True, batches=True, note="one INSERT and COMMIT for all that came", p99_ms=15, rate=3000
    ),
}


async def measure(stage: Stage) -> list[Figure]:
    """Measure latency at a steady rate, then how fast a backlog is consumed."""
    found: list[Figure] = []
    for name, kind in KINDS.items():
        async with scratch_space(stage) as scratch:
            taken = await _latency(stage, scratch, name, kind)
            rate = await _backlog(stage, scratch, name, kind)
            floor = await _floor(stage, scratch) if kind.batches else []
        note = f"{len(taken)} events, {kind.note}"
        found += [
            Figure(GROUP, f"{name}: p50", percentile(taken, 0.5) * 1000, "ms", note=note),
            Figure(GROUP, f"{name}: p99", percentile(taken, 0.99) * 1000, "ms", kind.p99_ms),
            Figure(
                GROUP,
                f"{name}: a backlog of {stage.many(BACKLOG, least=200)}",
                rate,
                "/s",
                kind.rate,
                at_most=False,
                note="one process, prefetch 200",
            ),
        ]
        if floor:
            found += [
                Figure(GROUP, "a row alone, no message: p50", percentile(floor, 0.5) * 1000, "ms"),
                Figure(
                    GROUP,
                    "a row alone, no message: p99",
                    percentile(floor, 0.99) * 1000,
                    "ms",
                    note="due → COMMIT on one connection: what the machine takes for it",
                ),
            ]
    return found


def _order(scratch: Scratch, kind: _Kind) -> dict[str, Any]:
    url = scratch.database_url.replace("postgresql://", "postgresql+asyncpg://", 1)
    return {
        "amqp_url": scratch.amqp_url,
        "batches": kind.batches,
        **({"database_url": url} if kind.inbox else {}),
    }


async def _latency(stage: Stage, scratch: Scratch, name: str, kind: _Kind) -> list[float]:
    """Seconds from publish to the handler, or to its committed inbox row."""
    number = stage.many(RATE * SECONDS, least=RATE)
    advance = stage.say(f"consuming at {RATE}/s, {name}", 1)
    publishing = {"amqp_url": scratch.amqp_url, "bytes": BYTES, "rate": RATE}
    async with worker("consume", prefetch=PREFETCH, number=number, **_order(scratch, kind)) as consumer:
        async with worker("publish", number=number, **publishing) as publisher:
            told = await publisher.hear("published", within_s=stage.patience_s(ENOUGH_S))
            if told["failed"]:
                raise NotMeasured(f"consuming: {told['failed']} of {number} events were not confirmed")
            await consumer.hear("all", within_s=stage.patience_s(ENOUGH_S))
        seen = await consumer.end()
    advance(1)
    handled_at = seen["ended"] if kind.inbox else [at for *_, at in seen["seen"]]
    handled = zip(seen["seen"], handled_at, strict=True)
    # Skip the first messages, which pay for opening the pool.
    return [(at - sent) / 1e9 for (_, _, sent, _), at in handled][PREFETCH:]


async def _floor(stage: Stage, scratch: Scratch) -> list[float]:
    """Seconds that an inbox row takes at the same rate, where nothing else is done."""
    number = stage.many(RATE * SECONDS, least=RATE)
    advance = stage.say(f"storing rows at {RATE}/s", 1)
    insert = "INSERT INTO inbox (consumer, message_id) VALUES ('floor', $1)"
    connection = await asyncpg.connect(scratch.database_url, timeout=10)
    taken: list[float] = []
    try:
        began = time.monotonic()
        for each in range(number):
            due = began + each / RATE
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await connection.execute(insert, str(each), timeout=10)
            taken.append(time.monotonic() - due)
    finally:
        await connection.close()
    advance(1)
    return taken[PREFETCH:]


async def _backlog(stage: Stage, scratch: Scratch, name: str, kind: _Kind) -> float:
    """Messages a second once everything waits already."""
    number = stage.many(BACKLOG, least=200)
    advance = stage.say(f"consuming a backlog, {name}", 1)
    order = {"amqp_url": scratch.amqp_url, "bytes": BYTES, "rate": 0, "number": number}
    async with worker("publish", **order) as publisher:
        await publisher.hear("published", within_s=stage.patience_s(ENOUGH_S))
    await asyncio.sleep(0.5)
    async with worker("consume", prefetch=200, number=number, **_order(scratch, kind)) as consumer:
        await consumer.hear("all", within_s=stage.patience_s(ENOUGH_S))
        ended = [at for at in (await consumer.end())["ended"] if at]
    advance(1)
    return float((len(ended) - 1) / ((max(ended) - min(ended)) / 1e9))
