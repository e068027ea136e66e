"""Group commit: a thousand messages cost a handful of commits, and a single one is not delayed."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from laundry_events.interruptions import uncancelled

T = TypeVar("T")
Commit = Callable[[Sequence[T]], Awaitable[Sequence[BaseException | None]]]

IDLE_TURNS = 3
"""After so many turns of the event loop without another item nothing more is on its way."""


class GroupCommit(Generic[T]):
    """Batches what arrives during a commit into the next one, per lane."""

    def __init__(self, commit: Commit[T], *, at_most: int) -> None:
        """Commit batches with ``commit``.

        Args:
            commit: returns each item's own error, in order; raises errors that concern all.
            at_most: items in one commit.
        """
        self._commit = commit
        self._at_most = at_most
        self._waiting: dict[str, list[tuple[T, asyncio.Future[None]]]] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def add(self, item: T, *, lane: str = "") -> None:
        """Return once the item is committed, or raise its error. Lanes never wait for each other."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if lane in self._waiting:
            self._waiting[lane].append((item, done))
        else:
            self._waiting[lane] = [(item, done)]
            task = asyncio.create_task(self._work(lane), name=f"commit-{lane}")
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        await done

    async def _work(self, lane: str) -> None:
        while await self._arrived(lane):
            group = self._waiting[lane][: self._at_most]
            del self._waiting[lane][: self._at_most]
            outcomes = await self._outcomes([item for item, _ in group])
            for (_, done), outcome in zip(group, outcomes, strict=True):
                if done.done():
                    continue
                if outcome is None:
                    done.set_result(None)
                else:
                    done.set_exception(outcome)
        del self._waiting[lane]

    async def _arrived(self, lane: str) -> int:
        """Return how many are here, once the event loop has run what is ready: no clock is awaited.

        A message takes some turns of the loop from the socket to here, and under load the next is on its way.
        """
        waiting, idle = self._waiting[lane], 0
        while idle < IDLE_TURNS and 0 < len(waiting) < self._at_most:
            before = len(waiting)
            await asyncio.sleep(0)
            idle = idle + 1 if len(waiting) == before else 0
        return len(waiting)

    async def _outcomes(self, items: Sequence[T]) -> Sequence[BaseException | None]:
        try:
            return await uncancelled(self._commit(items))
        except Exception as error:
            return [error] * len(items)
