"""Dead letters as the suite sees them: which message, after how many attempts, whether a fault sent it."""

import json
from contextlib import suppress
from dataclasses import dataclass

from laundry_dead_letters.broker import connected
from laundry_dead_letters.dead_letter import DeadLetter
from laundry_dead_letters.errors import DeadLetterError
from laundry_events.topology import PLAN
from laundry_lab.bench.stage import Stage

SCAN = 20_000
OWN = "faults-"
"""What a fault publishes of its own, and nobody was promised, has an id, or a device, that begins so."""


@dataclass(frozen=True)
class Letter:
    """One dead letter.

    Attributes:
        fingerprint: tells it from every other in its queue.
        task_id: the task that it is about, if it says.
        origin: the routing key that it was published with first.
        attempts: 0 if the broker dead-lettered it and no consumer.
    """

    fingerprint: str
    queue: str
    message_id: str | None
    task_id: str | None
    attempts: int
    reason: str
    origin: str = ""

    @property
    def place(self) -> tuple[str, str]:
        """What tells it from every other: the same event may have died in several queues."""
        return self.queue, self.fingerprint

    @property
    def own(self) -> bool:
        """Whether a fault meant it to die."""
        return (self.message_id or "").startswith(OWN) or self.origin.startswith(f"telemetry.{OWN}")


async def dead_letters(stage: Stage) -> list[Letter]:
    """Look at each dead letter; all stay where they are."""
    found = []
    async with connected(stage.document["amqp_urls"]) as broker:
        for queue in PLAN.queues:
            if queue.kind == "stream":
                continue
            with suppress(DeadLetterError):
                async with broker.browse(queue.name, scan=SCAN) as letters:
                    async for taken in letters:
                        found.append(_known(queue.name, taken.letter))
    return found


def _known(queue: str, letter: DeadLetter) -> Letter:
    task_id = None
    with suppress(ValueError, TypeError, AttributeError, RecursionError):
        task_id = json.loads(letter.body).get("task_id")
    attempts = letter.headers.get("x-attempts")
    return Letter(
        fingerprint=letter.fingerprint,
        queue=queue,
        message_id=letter.message_id,
        task_id=task_id if isinstance(task_id, str) else None,
        attempts=attempts if isinstance(attempts, int) else 0,
        reason=letter.reason,
        origin=letter.origin[1],
    )
