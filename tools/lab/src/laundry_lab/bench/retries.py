"""How late retries are made while many messages fail."""

import asyncio
from collections import defaultdict

import aio_pika

from laundry_events.plan import dead_queue
from laundry_events.topology import PLAN
from laundry_lab.bench.figures import Figure
from laundry_lab.bench.roles import QUEUE
from laundry_lab.bench.scratch import Scratch, scratch_space
from laundry_lab.bench.stage import NotMeasured, Stage
from laundry_lab.bench.workers import worker
from laundry_lab.report import percentile

PLANNED = PLAN.queue(QUEUE)
RATE, SECONDS = 20, 20
ENOUGH_S = 120.0
GRACE_S = 20.0
GROUP = f"Retries, {RATE} failures/s"


async def measure(stage: Stage) -> list[Figure]:
    """Publish events whose handling always fails, and see when each attempt is made."""
    number = stage.many(RATE * SECONDS, least=RATE)
    advance = stage.say("failing messages and their retries", 1)
    async with (
        scratch_space(stage) as scratch,
        worker("consume", amqp_url=scratch.amqp_url, prefetch=50, fail=True) as consumer,
    ):
        order = {"amqp_url": scratch.amqp_url, "number": number, "rate": RATE, "bytes": 1024}
        async with worker("publish", **order) as publisher:
            told = await publisher.hear("published", within_s=stage.patience_s(ENOUGH_S))
            if told["failed"]:
                raise NotMeasured(f"retries: {told['failed']} of {number} events were not confirmed")
        dead = await _dead(scratch, number, stage.patience_s(GRACE_S))
        seen = (await consumer.end())["seen"]
    advance(1)
    attempts: dict[str, dict[int, int]] = defaultdict(dict)
    for identifier, attempt, _, at_ns in seen:
        attempts[identifier].setdefault(attempt, at_ns)
    found = []
    for step, delay in enumerate(PLANNED.retry_delays_s, 1):
        late = [
            (tried[step + 1] - tried[step]) / 1e9 - delay
            for tried in attempts.values()
            if {step, step + 1} <= tried.keys()
        ]
        note = "handler failed → handler called again, less the delay" if step == 1 else ""
        found += [
            Figure(GROUP, f"after {delay} s: late p50", percentile(late, 0.5) * 1000, "ms", note=note),
            Figure(GROUP, f"after {delay} s: late p99", percentile(late, 0.99) * 1000, "ms", 30),
        ]
    wrong = sum(set(tried) != set(range(1, PLANNED.max_attempts + 1)) for tried in attempts.values())
    return [
        *found,
        Figure(GROUP, f"not tried {PLANNED.max_attempts} times", wrong + number - len(attempts), "", 0),
        Figure(GROUP, "handled more often", len(seen) - PLANNED.max_attempts * number, "", 0),
        Figure(GROUP, "not among the dead letters", number - len(dead), "", 0, note=f"of {number}"),
        Figure(
            GROUP,
            "dead letters with another x-attempts",
            sum(made != PLANNED.max_attempts for made in dead.values()),
            "",
            0,
        ),
    ]


async def _dead(scratch: Scratch, number: int, within_s: float) -> dict[str, int]:
    """Read the dead letters until all are there; returns the attempts of each by its id."""
    found: dict[str, int] = {}
    connection = await aio_pika.connect(scratch.amqp_url, timeout=10)
    try:
        async with connection, asyncio.timeout(within_s):
            channel = await connection.channel()
            queue = await channel.get_queue(dead_queue(QUEUE), ensure=False)
            async with queue.iterator(no_ack=True) as letters:
                async for letter in letters:
                    made = letter.headers.get("x-attempts")
                    found[str(letter.message_id)] = made if isinstance(made, int) else 0
                    if len(found) >= number:
                        break
    except TimeoutError:
        pass  # how many are missing is a figure of its own
    return found
