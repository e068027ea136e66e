"""TripGen's load: large messages, few per second, several workers (docs/requirements.md)."""

from contextlib import AsyncExitStack

from laundry_lab.bench.figures import Figure
from laundry_lab.bench.scratch import Scratch, scratch_space
from laundry_lab.bench.stage import NotMeasured, Stage
from laundry_lab.bench.workers import worker
from laundry_lab.report import percentile

SECONDS = 10
ENOUGH_S = 60.0
WORK_S = 0.02
KB = 1024
# The rest of 64 KiB belongs to the headers.
LARGEST = 63 * KB
LOADS = ((10, 32 * KB, 3), (50, 32 * KB, 3), (50, 32 * KB, 5), (50, LARGEST, 3), (50, LARGEST, 5))
GROUP = "TripGen's load: queued"


async def measure(stage: Stage) -> list[Figure]:
    """Measure how long messages wait for a worker."""
    found: list[Figure] = []
    async with scratch_space(stage) as scratch:
        for rate, size, workers in LOADS:
            queued = await _queued(stage, scratch, rate, size, workers)
            what = f"{rate}/s of {size // KB} KB, {workers} workers"
            note = f"publish() called → handler called; each works {WORK_S * 1000:.0f} ms at one message"
            found += [
                Figure(
                    GROUP, f"{what}: p50", percentile(queued, 0.5) * 1000, "ms", note="" if found else note
                ),
                Figure(GROUP, f"{what}: p99", percentile(queued, 0.99) * 1000, "ms", 100),
                Figure(GROUP, f"{what}: slowest", max(queued) * 1000, "ms"),
            ]
    return found


async def _queued(stage: Stage, scratch: Scratch, rate: int, size: int, workers: int) -> list[float]:
    number = stage.many(rate * SECONDS, least=rate)
    advance = stage.say(f"TripGen's load: {rate}/s of {size // KB} KB, {workers} workers", 1)
    async with AsyncExitStack() as stack:
        consumers = [
            await stack.enter_async_context(
                worker("consume", amqp_url=scratch.amqp_url, prefetch=1, work_s=WORK_S)
            )
            for _ in range(workers)
        ]
        order = {"amqp_url": scratch.amqp_url, "number": number, "rate": rate, "bytes": size}
        publisher = await stack.enter_async_context(worker("publish", **order))
        told = await publisher.hear("published", within_s=stage.patience_s(ENOUGH_S))
        if told["failed"]:
            raise NotMeasured(f"TripGen's load: {told['failed']} of {number} messages were not confirmed")
        seen = [entry for consumer in consumers for entry in (await consumer.end())["seen"]]
    advance(1)
    if len({identifier for identifier, *_ in seen}) != number:
        raise NotMeasured(f"TripGen's load: {len(seen)} of {number} messages were handled")
    return [(at - sent) / 1e9 for _, _, sent, at in seen]
