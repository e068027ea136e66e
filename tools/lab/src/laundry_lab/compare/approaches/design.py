"""What every design consists of, so that one workload can be put to each."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal, NamedTuple, Protocol

import asyncpg

from laundry_events.events import TaskSubmitted
from laundry_lab.compare.approaches.work import Work

Addresses = Mapping[str, str]
"""Where the servers are: ``database``, and ``broker`` where a design has one."""

DATABASE_ERRORS = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    # What asyncpg raises if the server dies between a statement and the reset of its connection.
    asyncpg.InternalClientError,
)

CONCURRENCY = 8
"""Photos that a worker has in flight at most, as a replica of the ai-consumer does."""

POOL = 5
"""Database connections of a process."""


class NotAccepted(Exception):
    """The photo could not be taken: the helper answers 503, and the phone sends it again."""


class Producer(Protocol):
    """What the helper does with a photo's event before it answers."""

    async def start(self) -> None:
        """Connect to the servers of this design."""

    async def submit(self, photo: TaskSubmitted) -> None:
        """Return when the helper may answer that the photo is registered. Raises NotAccepted."""

    async def stop(self) -> None:
        """Hand over what is still here, and disconnect."""


class Worker(Protocol):
    """What reads photos: three of them share the work."""

    async def start(self) -> None:
        """Take photos from now on."""

    async def stop(self) -> None:
        """Take no more messages, and disconnect."""


class Added(NamedTuple):
    """A line that is added for one more kind of consumer; of each design the same kinds of lines are counted.

    The address of a server and the pool of connections, which a new service has in every design, are none.

    Attributes:
        kind: ``way`` is what brings photos to it, ``taking`` the line of its own that takes them, ``state``
            where it is noted what it has done, ``rights`` what it may touch.
    """

    kind: Literal["way", "taking", "state", "rights"]
    where: str
    line: str


SENDER = "the helper"


@dataclass(frozen=True)
class Design:
    """A design, as the one that measures sees it.

    Attributes:
        folder: the package beside this module with ``producer.Producer`` and ``worker.Worker``.
        broker: what stands between both: ``rabbitmq``, ``nats``, None, or the ``postgres`` of the effects.
        schema: the tables that it needs besides those of ``effects``.
        settings: what tells it from another design in the same folder.
        has_way: whether messages go another way than through the database; ``way.Way`` is that way alone.
        has_packages: whether it needs packages that are no dependency of ours.
        subscriber: each line that is added for one more kind of consumer that gets every photo.
    """

    name: str
    title: str
    folder: str
    broker: str | None
    schema: tuple[str, ...]
    subscriber: tuple[Added, ...]
    settings: Mapping[str, Any]
    has_way: bool = False
    has_packages: bool = False

    @property
    def sender_lines(self) -> int:
        """The lines of them for which the helper has to be changed and started again."""
        return sum(each.where.startswith(SENDER) for each in self.subscriber)

    @property
    def systems(self) -> list[str]:
        """The servers that somebody has to operate."""
        return ["postgres", *([self.broker] if self.broker not in (None, "postgres") else [])]

    def order(self, addresses: Addresses) -> dict[str, Any]:
        """Return what a process of the design has to be told."""
        return {"folder": self.folder, "addresses": dict(addresses), "settings": dict(self.settings)}


def make_producer(order: Mapping[str, Any]) -> Producer:
    """Make the producer that an order of ``Design.order`` names."""
    module = import_module(f"laundry_lab.compare.approaches.{order['folder']}.producer")
    made: Producer = module.Producer(order["addresses"], **order["settings"])
    return made


def make_worker(order: Mapping[str, Any], work: Work) -> Worker:
    """Make the worker that an order of ``Design.order`` names."""
    module = import_module(f"laundry_lab.compare.approaches.{order['folder']}.worker")
    made: Worker = module.Worker(order["addresses"], work, **order["settings"])
    return made
