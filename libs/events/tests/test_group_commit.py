"""Many at once are few commits; nobody fails for another."""

import asyncio
from collections.abc import Sequence

import pytest

from laundry_events.group_commit import GroupCommit


class Store:
    """Commits slowly; what is negative has an error of its own."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.broken: Exception | None = None
        self.free = asyncio.Event()
        self.free.set()

    async def __call__(self, items: Sequence[int]) -> Sequence[BaseException | None]:
        self.groups.append(list(items))
        await self.free.wait()
        if self.broken is not None:
            raise self.broken
        return [ValueError(item) if item < 0 else None for item in items]


async def test_what_comes_during_a_commit_is_the_next_one() -> None:
    store = Store()
    commits = GroupCommit(store, at_most=60)
    store.free.clear()
    adding = [asyncio.create_task(commits.add(number)) for number in range(101)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    store.free.set()
    await asyncio.gather(*adding)
    assert sorted(number for group in store.groups for number in group) == list(range(101))
    assert all(len(group) <= 60 for group in store.groups)
    assert len(store.groups) <= 3
    await commits.add(7)
    assert store.groups[-1] == [7]


async def test_an_error_is_only_ones_own() -> None:
    commits = GroupCommit(Store(), at_most=10)
    outcomes = await asyncio.gather(*(commits.add(item) for item in (1, -2, 3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), ValueError, type(None)]


async def test_what_is_everybodys_trouble_everybody_hears_and_the_next_goes_on() -> None:
    store = Store()
    commits = GroupCommit(store, at_most=10)
    store.broken = ConnectionError("away")
    outcomes = await asyncio.gather(*(commits.add(item) for item in (1, 2)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ConnectionError, ConnectionError]
    store.broken = None
    await commits.add(3)


async def test_lanes_do_not_wait_for_each_other() -> None:
    store = Store()
    commits = GroupCommit(store, at_most=10)
    store.free.clear()
    held = asyncio.create_task(commits.add(1))
    await asyncio.sleep(0.01)
    store.free = asyncio.Event()
    store.free.set()
    await asyncio.wait_for(commits.add(2, lane="other"), 5)
    assert not held.done()
    held.cancel()
    with pytest.raises(asyncio.CancelledError):
        await held
