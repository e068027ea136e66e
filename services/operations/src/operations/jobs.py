"""Jobs on dead letters that an operator asked for."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

OPEN = ("queued", "running")


@dataclass(frozen=True)
class Order:
    """What an operator asked for, and why."""

    id: UUID
    action: str
    queue: str
    reason: str | None
    ids: tuple[str, ...]
    at_most: int
    rate: float
    why: str
    by: str


@dataclass(frozen=True)
class NewJob(Order):
    """A job, or the plan of one: ``targets`` are fingerprints of the letters that a person saw."""

    targets: tuple[str, ...] | None = None
    preview: dict[str, Any] | None = None


@dataclass(frozen=True)
class Job(Order):
    """A job as it is kept. ``total`` letters are meant, ``done`` have their audit record."""

    state: str
    preview: dict[str, Any] | None
    error: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    total: int | None
    done: int

    @property
    def missing(self) -> int | None:
        """Letters that were gone when the job reached them: handled by someone else, or expired."""
        if self.state != "succeeded" or self.total is None:
            return None
        return self.total - self.done


def first_of_each_queue(jobs: Iterable[Job]) -> list[Job]:
    """Return the jobs that may run now: a queue's jobs run one after another."""
    first: dict[str, Job] = {}
    for job in jobs:
        first.setdefault(job.queue, job)
    return list(first.values())
