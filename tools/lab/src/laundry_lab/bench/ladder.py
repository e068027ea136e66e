"""How late the steps of the retry ladder are while many messages fail."""

import asyncio
from collections import defaultdict

import aio_pika

from laundry_events.topology import MAX_ATTEMPTS, RETRY_DELAYS_S, dead_queue
from laundry_lab.bench.figures import Figure, percentile
from laundry_lab.bench.ground import Ground, own_ground
from laundry_lab.bench.hands import hand
from laundry_lab.bench.roles import QUEUE
from laundry_lab.bench.stage import NotMeasured, Stage

RATE, SECONDS = 20, 20
GRACE_S = 20.0
GROUP = f"Retry ladder, {RATE} failures/s"


async def measure(stage: Stage) -> list[Figure]:
    """Publish events whose handling always fails, and see when each attempt is made."""
    number = stage.many(RATE * SECONDS, least=RATE)
    advance = stage.say("failing messages on the ladder", 1)
    async with (
        own_ground(stage) as ground,
        hand("consume", amqp_url=ground.amqp_url, prefetch=50, fail=True) as consumer,
    ):
        order = {"amqp_url": ground.amqp_url, "number": number, "rate": RATE, "bytes": 1024}
        async with hand("publish", **order) as publisher:
            told = await publisher.hear("published", within_s=120)
            if told["failed"]:
                raise NotMeasured(f"ladder: {told['failed']} of {number} events were not confirmed")
        dead = await _dead(ground, number)
        seen = (await consumer.end())["seen"]
    advance(1)
    attempts: dict[str, dict[int, int]] = defaultdict(dict)
    for identifier, attempt, _, at_ns in seen:
        attempts[identifier].setdefault(attempt, at_ns)
    found = []
    for step, delay in enumerate(RETRY_DELAYS_S, 1):
        late = [
            (tried[step + 1] - tried[step]) / 1e9 - delay
            for tried in attempts.values()
            if {step, step + 1} <= tried.keys()
        ]
        note = "handler failed → handler called again, less the delay" if step == 1 else ""
        found += [
            Figure(GROUP, f"step of {delay} s: late p50", percentile(late, 0.5) * 1000, "ms", note=note),
            Figure(GROUP, f"step of {delay} s: late p99", percentile(late, 0.99) * 1000, "ms", 30),
        ]
    wrong = sum(set(tried) != set(range(1, MAX_ATTEMPTS + 1)) for tried in attempts.values())
    return [
        *found,
        Figure(GROUP, f"not tried {MAX_ATTEMPTS} times", wrong + number - len(attempts), "", 0),
        Figure(GROUP, "handled more often", len(seen) - MAX_ATTEMPTS * number, "", 0),
        Figure(GROUP, "not among the dead letters", number - len(dead), "", 0, note=f"of {number}"),
        Figure(
            GROUP,
            "dead letters with another x-attempts",
            sum(made != MAX_ATTEMPTS for made in dead.values()),
            "",
            0,
        ),
    ]


async def _dead(ground: Ground, number: int) -> dict[str, int]:
    """Read the dead letters until all are there; attempts by id."""
    found: dict[str, int] = {}
    connection = await aio_pika.connect(ground.amqp_url, timeout=10)
    try:
        async with connection, asyncio.timeout(GRACE_S):
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
