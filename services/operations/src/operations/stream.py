"""Follows watched jobs: one query for all of them, however many listeners there are."""

import contextlib
from collections.abc import Hashable, Iterable, Iterator
from typing import Any
from uuid import UUID

from fastapi.sse import format_sse_event

from laundry_service.background.task import BackgroundTask
from laundry_service.streams.changes import Audience
from laundry_service.streams.subscription import Change, Subscription
from operations.jobs import OPEN
from operations.repository import Store
from operations.schemas import JobOut

LOOK_EVERY_S = 0.5
GREETING = format_sse_event(comment="connected", retry=2000)


class JobChanges:
    """Looks twice a second at what is followed; a part of the app. A topic is a job's id."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._audience = Audience()
        self._last: dict[Hashable, JobOut] = {}
        self._looking = BackgroundTask(
            "job-changes",
            self._look,
            every_s=LOOK_EVERY_S,
            at_once=False,
            waiting="jobs could not be read",
        )

    async def start(self) -> None:
        """Poll the watched jobs in the background from now on."""
        await self._looking.start()

    async def stop(self) -> None:
        """Stop polling; listeners hear nothing more."""
        await self._looking.stop()

    @contextlib.contextmanager
    def follow(self, topics: Iterable[Hashable] | None, *, variant: str = "") -> Iterator[Subscription]:
        """Subscribe for the length of the block."""
        subscription = Subscription(None if topics is None else frozenset(topics), variant=variant)
        self._audience.add(subscription)
        try:
            yield subscription
        finally:
            self._audience.remove(subscription)

    async def _look(self) -> None:
        followed: list[Any] = list(self._audience.topics)
        self._last = {id_: job for id_, job in self._last.items() if id_ in self._audience.topics}
        if not followed:
            return
        for job in map(JobOut.of, await self._store.jobs(followed)):
            if job != self._last.get(job.id):
                self._last[job.id] = job
                for subscription in self._audience.of(told(job)):
                    tell(subscription, job)


def told(job: JobOut) -> Change:
    """Write a job as an event."""
    written = format_sse_event(event="job", data_str=job.model_dump_json())
    return Change(job.id, job.id, lambda _: written)


def tell(subscription: Subscription, job: JobOut) -> None:
    """Tell a follower how far a job is; with its end the stream ends."""
    subscription.offer(told(job))
    if job.state not in OPEN:
        subscription.finish()


def topic_of(id_: UUID) -> frozenset[Hashable]:
    """Name the topic of a job."""
    return frozenset({id_})
