"""A message that kills its process ends in the dead letters, and what was in flight with it does not."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from laundry_events import Publisher
from laundry_events.delivery import failed_deliveries
from laundry_events.poison import DEAD_LETTER_AT, ISOLATE_AT, PoisonIsolation
from laundry_testing.events import reading
from laundry_testing.messaging import Messaging, eventually

SCRIPT = Path(__file__).with_name("crashing_consumer.py")
INNOCENT = 9


@asynccontextmanager
async def crashing(url: str, done: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SCRIPT),
        url,
        str(done),
        str(INNOCENT + 1),
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()  # what it wrote is read by the test


# Twenty deaths, and a new connection after each.
@pytest.mark.timeout(400)
@pytest.mark.servers
async def test_a_poisonous_message_dies_alone(
    messaging: Messaging, publisher: Publisher, tmp_path: Path
) -> None:
    done = tmp_path / "done"
    done.touch()
    # In front, where it is met first each time: the worst place for those behind it.
    poison = await publisher.publish(reading("poison"))
    expected = {f"t{number}" for number in range(INNOCENT)}
    for task in sorted(expected):
        await publisher.publish(reading(task))
    async with crashing(messaging.amqp_url, done) as process:
        dead = await messaging.take("task.read.dlq", within_s=240)
        await eventually(lambda: set(done.read_text().split()) >= expected, what="every innocent one")
        await publisher.publish(reading("later"))
        await eventually(lambda: "later" in done.read_text().split(), what="one that came later")
        assert process.returncode is None
    assert dead.message_id == poison
    assert dead.headers["x-dead-reason"] == "delivery_limit"
    assert dead.headers["x-error-class"] == "ConsumerKilled"
    assert dead.headers["x-deliveries"] == DEAD_LETTER_AT + 1
    for name in ("x-error-message", "x-error-digest", "x-first-failed-at", "x-last-failed-at", "x-attempts"):
        assert dead.headers[name]
    assert (dead.headers["x-service"], dead.headers["x-service-version"]) == ("crashing", "1")
    assert dead.headers["x-original-queue"] == dead.headers["x-original-routing-key"] == "task.read"
    assert await messaging.count("task.read.dlq") == 0, "nobody followed it"
    assert process.stdout is not None
    # Whole lines: its log, which speaks of deaths too, goes there as well.
    deaths = (await process.stdout.read()).splitlines().count(b"died")
    assert 0 < deaths <= DEAD_LETTER_AT


async def test_what_may_be_poison_is_alone_and_fresh_messages_are_not() -> None:
    isolation, together, most, alone = PoisonIsolation("q"), 0, 0, []

    async def handle(name: str, deaths: int) -> None:
        nonlocal together, most
        async with isolation.turn(name, deaths, within_s=20):
            together += 1
            most = max(most, together)
            if deaths >= ISOLATE_AT:
                alone.append(together)
            await asyncio.sleep(0.01)
            together -= 1

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        for number in range(8):
            tasks.create_task(handle(f"fresh{number}", number % ISOLATE_AT))
        for number in range(6):
            tasks.create_task(handle(f"suspected{number}", ISOLATE_AT + number))
        await asyncio.sleep(0.05)
        for number in range(8):
            tasks.create_task(handle(f"late{number}", 0))
    assert alone == [1] * 6
    assert most > 4


async def test_their_order_is_another_after_each_death() -> None:
    async def order(deaths: int) -> tuple[str, ...]:
        isolation, seen = PoisonIsolation("q"), []

        async def handle(name: str) -> None:
            async with isolation.turn(name, deaths, within_s=20):
                seen.append(name)

        await asyncio.gather(*(handle(f"m{number}") for number in range(6)))
        return tuple(seen)

    orders = await asyncio.gather(*(order(deaths) for deaths in range(ISOLATE_AT, ISOLATE_AT + 8)))
    assert len(set(orders)) == len(orders)
    assert await order(ISOLATE_AT) == orders[0], "the same death gives the same order"


async def test_the_order_of_messages_without_an_id_is_left_to_chance() -> None:
    async def order() -> tuple[int, ...]:
        isolation, seen = PoisonIsolation("q"), []

        async def handle(number: int) -> None:
            async with isolation.turn(None, ISOLATE_AT, within_s=20):
                seen.append(number)

        await asyncio.gather(*(handle(number) for number in range(6)))
        return tuple(seen)

    orders = await asyncio.gather(*(order() for _ in range(8)))
    assert len(set(orders)) > 1


async def test_a_message_in_isolation_whose_handler_fails_or_is_cancelled_makes_room() -> None:
    isolation = PoisonIsolation("q")
    with pytest.raises(RuntimeError):
        async with isolation.turn("a", 5, within_s=20):
            raise RuntimeError
    waiting = asyncio.create_task(isolation.turn("b", 5, within_s=20).__aenter__())
    await asyncio.sleep(0)
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting
    async with asyncio.timeout(5), isolation.turn("c", 0, within_s=20):
        pass


@pytest.mark.parametrize(
    ("headers", "deaths"), [({}, 0), ({"x-delivery-count": 3}, 3), ({"x-delivery-count": "x"}, 0)]
)
def test_the_brokers_count_is_read(headers: dict[str, object], deaths: int) -> None:
    assert failed_deliveries(headers) == deaths
