"""One transaction for all that waits: a thousand messages cost a handful of commits, a lone one no delay."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
Commit = Callable[[Sequence[T]], Awaitable[Sequence[BaseException | None]]]


class GroupCommit(Generic[T]):
    """Hands what was added while the last commit ran to the next one, lane by lane."""

    def __init__(self, commit: Commit[T], *, at_most: int) -> None:
        """Take what commits several items.

        Args:
            commit: returns for each item, in order, the error that is its own; raises what is everybody's.
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
        while group := self._waiting[lane][: self._at_most]:
            del self._waiting[lane][: self._at_most]
            outcomes: Sequence[BaseException | None]
            try:
                outcomes = await self._commit([item for item, _ in group])
            except Exception as error:
                outcomes = [error] * len(group)
            for (_, done), outcome in zip(group, outcomes, strict=True):
                if done.done():
                    continue
                if outcome is None:
                    done.set_result(None)
                else:
                    done.set_exception(outcome)
        del self._waiting[lane]
