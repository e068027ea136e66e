import asyncio

import pytest

from laundry_service.periodic import Periodic
from laundry_testing.messaging import eventually


async def test_a_job_that_fails_is_done_again() -> None:
    calls = 0

    async def job() -> None:
        nonlocal calls
        calls += 1
        raise RuntimeError("the database is away")

    periodic = Periodic("tidy", job, every_s=0.001)
    await periodic.start()
    await eventually(lambda: calls >= 3, what="a third round")
    await periodic.stop()


@pytest.mark.parametrize("at_once", [True, False])
async def test_the_first_round_is_at_once_or_after_one_interval(at_once: bool) -> None:
    done = asyncio.Event()

    async def job() -> None:
        done.set()

    periodic = Periodic("tidy", job, every_s=3600, at_once=at_once)
    await periodic.start()
    for _ in range(5):
        await asyncio.sleep(0)
    assert done.is_set() is at_once
    await periodic.stop()


async def test_stopping_ends_a_job_in_hand() -> None:
    begun = asyncio.Event()

    async def job() -> None:
        begun.set()
        await asyncio.sleep(3600)

    periodic = Periodic("tidy", job, every_s=1)
    await periodic.start()
    await begun.wait()
    async with asyncio.timeout(5):
        await periodic.stop()
