"""Dead letters for tests: put where a consumer would, looked at, sent back."""

from typing import Any

from laundry_dead_letters.actions import Bounds, Tally, look, redrive
from laundry_dead_letters.audit import FileAudit
from laundry_dead_letters.broker import connected
from laundry_dead_letters.dead_letter import DeadLetter, OperatorAction, Selection
from laundry_events.envelope import encode
from laundry_events.plan import DEAD_EXCHANGE
from laundry_testing.events import reading
from laundry_testing.messaging import Messaging, eventually

ACT = OperatorAction("redrive", "tester", "the database is back")
QUEUE, DEAD = "task.read", "task.read.dlq"
FAILED = {
    "x-attempt": 4,
    "x-attempts": 4,
    "x-dead-reason": "retries-exhausted",
    "x-first-failed-at": "2026-05-01T10:00:00.000Z",
    "x-last-failed-at": "2026-05-01T10:00:07.000Z",
    "x-error-class": "RuntimeError",
    "x-error-message": "the database is away",
    "x-service": "helper",
    "x-original-queue": QUEUE,
    "x-original-routing-key": QUEUE,
}


async def bury(messaging: Messaging, message_id: str, **headers: Any) -> None:
    """Put a dead letter where the consumer would."""
    outgoing = encode(reading(message_id), source="/tests", event_id=message_id)
    await messaging.publish_raw(
        DEAD_EXCHANGE,
        DEAD,
        outgoing.body,
        headers={**outgoing.headers, **FAILED, **headers},
        message_id=message_id,
    )


async def buried(messaging: Messaging, selection: Selection | None = None) -> list[DeadLetter]:
    found: list[DeadLetter] = []
    async with connected([messaging.amqp_url]) as broker:
        await look(broker, QUEUE, selection or Selection(), Bounds(), Tally(), handle=found.append)
    return found


async def send_back(
    messaging: Messaging, audit: FileAudit, selection: Selection | None = None, **bounds: Any
) -> int:
    tally = Tally()
    async with connected([messaging.amqp_url]) as broker:
        await redrive(
            broker,
            QUEUE,
            selection or Selection(),
            Bounds(**bounds),
            tally,
            act=ACT,
            audit=audit,
            rate=1000,
        )
    return tally.done


async def waiting(messaging: Messaging, number: int, queue: str = DEAD) -> None:
    """Letters that were looked at are counted again once the broker has taken them back."""

    async def all_there() -> bool:
        return await messaging.count(queue) == number

    await eventually(all_there, what=f"{number} letters in {queue}")
