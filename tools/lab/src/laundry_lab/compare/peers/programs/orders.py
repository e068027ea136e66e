"""What a sending program is told on its standard input, and what it answers: lines of JSON."""

import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

AMQP_URL = os.environ.get("COMPARE_AMQP_URL", "")
DATABASE_URL = os.environ.get("COMPARE_DATABASE_URL", "")

CALLERS = 16
"""How many send at once: tasks where the peer is asynchronous, threads where it is not."""
IN_HAND = 10
"""Tasks that one of two worker processes does at a time, and its connections to the database."""
PADDING = "x" * 1000


@dataclass(frozen=True)
class Order:
    """Tasks to send: ``number``, numbered from ``first``, at ``rate`` a second, or at once if it is 0."""

    first: int
    number: int
    rate: float

    def due(self, turn: int, began: float) -> float:
        """Return when a task is due, by the wall clock; without a rate it is due now."""
        return began + turn / self.rate if self.rate else time.time()


def orders() -> Iterator[Order]:
    """Say that the program is ready, and yield what it is told until nobody tells any more."""
    say("ready")
    for line in sys.stdin:
        yield Order(**json.loads(line))


def say(what: str, **more: Any) -> None:
    """Tell the measuring process."""
    sys.stdout.write(json.dumps({"said": what, **more}) + "\n")
    sys.stdout.flush()


@dataclass
class Sent:
    """What became of an order: the numbers that were not accepted, and how long the others took."""

    refused: list[int]
    seconds: float
    processor_s: float

    def say(self) -> None:
        """Tell it to the measuring process."""
        say("sent", refused=self.refused, seconds=self.seconds, processor_s=self.processor_s)
