import asyncio

import asyncpg
import pytest
import sqlalchemy.exc
from prometheus_client import REGISTRY

from laundry_service.background.periodic import Periodic
from laundry_service.background.task import BackgroundTask
from laundry_testing.logs import logged_by
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


async def test_whatever_a_turn_raises_the_next_one_comes() -> None:
    raised = [OSError("away"), RuntimeError("a bug"), asyncio.CancelledError(), TimeoutError()]
    turns = 0

    async def turn() -> None:
        nonlocal turns
        turns += 1
        if raised:
            raise raised.pop(0)

    task = BackgroundTask(
        "sender", turn, every_s=3600, retry_s=0.001, waiting="it waits", failed="sending failed"
    )
    with logged_by("laundry_service.background.task") as lines:
        await task.start()
        await eventually(lambda: turns >= 5, what="a turn after each error")
        await task.stop()
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("it waits", "warning"),
        ("sending failed", "error"),
        ("sending failed", "error"),
        ("it waits", "warning"),
    ]


async def test_who_wakes_it_during_a_turn_is_served_by_another() -> None:
    turns = 0
    task: BackgroundTask

    async def turn() -> None:
        nonlocal turns
        turns += 1
        if turns == 1:
            task.wake()

    task = BackgroundTask("sender", turn, every_s=3600)
    await task.start()
    await eventually(lambda: turns == 2, what="the turn that was asked for during the first")
    task.wake()
    await eventually(lambda: turns == 3, what="the turn that was asked for during the pause")
    await task.stop()


async def test_a_turn_says_when_the_next_one_is_due() -> None:
    turns = 0

    async def turn() -> float:
        nonlocal turns
        turns += 1
        return 0.001 if turns < 3 else 3600

    task = BackgroundTask("sender", turn, every_s=3600)
    await task.start()
    await eventually(lambda: turns == 3, what="the turns that are due at once")
    await task.stop()


@pytest.mark.parametrize(
    ("finish_within_s", "finished"), [(None, True), (30, True), (0, False), (0.01, False)]
)
async def test_stopping_lets_a_turn_finish_for_as_long_as_it_may(
    finish_within_s: float | None, finished: bool
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    ended = False
    task: BackgroundTask

    async def turn() -> None:
        nonlocal ended
        begun.set()
        await go_on.wait()
        assert task.stopping
        ended = True

    task = BackgroundTask("sender", turn, every_s=1, finish_within_s=finish_within_s)
    await task.start()
    await begun.wait()
    stopping = asyncio.ensure_future(task.stop())
    if finished:
        # It stops, but not before the turn ended.
        await asyncio.wait({stopping}, timeout=0.05)
        assert not stopping.done()
        go_on.set()
    async with asyncio.timeout(5):
        await stopping
    assert ended is finished


def failures(name: str) -> float | None:
    return REGISTRY.get_sample_value("laundry_background_failures_in_a_row", {"task": name})


async def test_failures_in_a_row_are_told_until_a_turn_succeeds() -> None:
    raised = [OSError("away"), RuntimeError("a bug"), asyncio.CancelledError()]
    told: list[float | None] = []
    go_on = asyncio.Event()

    async def turn() -> None:
        told.append(failures("counted"))
        if raised:
            raise raised.pop(0)
        go_on.set()

    task = BackgroundTask("counted", turn, every_s=0.001)
    await task.start()
    await go_on.wait()
    await eventually(lambda: len(told) > 4, what="a turn after the one that succeeded")
    await task.stop()
    assert told[:5] == [0, 1, 2, 3, 0]
    assert failures("counted") is None


async def test_one_that_works_does_not_hide_another_of_its_name() -> None:
    async def fail() -> None:
        raise RuntimeError("a bug")

    async def work() -> None:
        return

    failing = BackgroundTask("shared", fail, every_s=3600)
    working = BackgroundTask("shared", work, every_s=0.001)
    await failing.start()
    await working.start()
    await eventually(lambda: failures("shared") == 1, what="the failure")
    await asyncio.sleep(0.01)
    assert failures("shared") == 1
    await failing.stop()
    assert failures("shared") == 0
    await working.stop()


class Away(Exception):
    """A server of this job does not answer."""


def database_away() -> Exception:
    refused = asyncpg.TooManyConnectionsError("sorry, too many clients already")
    return sqlalchemy.exc.DBAPIError("SELECT 1", None, refused)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError("a bug"), ("a periodic job failed", "error")),
        (OSError("away"), ("a periodic job waits for a server", "warning")),
        (Away("away"), ("a periodic job waits for a server", "warning")),
        (database_away(), ("a periodic job waits for a server", "warning")),
    ],
)
async def test_a_mistake_in_a_job_is_an_error_and_an_outage_a_warning(
    error: Exception, said: tuple[str, str]
) -> None:
    turns = 0

    async def job() -> None:
        nonlocal turns
        turns += 1
        if turns == 1:
            raise error

    periodic = Periodic("tidy", job, every_s=0.001, expected=(Away,))
    with logged_by("laundry_service.background.task") as lines:
        await periodic.start()
        await eventually(lambda: turns >= 2, what="the next turn")
        await periodic.stop()
    [line] = lines
    assert (line["event"], line["log_level"]) == said
