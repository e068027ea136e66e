"""The measures, alike for all peers and from outside of them: speed, and what a kill -9 loses and doubles."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from laundry_lab.bench.stage import NotMeasured
from laundry_lab.compare.peers import effects
from laundry_lab.compare.peers.catalogue import Peer
from laundry_lab.compare.peers.programs.orders import CALLERS
from laundry_lab.compare.peers.servers import Space
from laundry_lab.compare.peers.workers import Sender, Workers, kill_child, prepare, sender, tail, workers
from laundry_lab.patience import Patience

RATE = 200.0
LOOKS_EVERY_S = 0.02
DRAINED_S = 60.0
WHOLE_S = 60.0
"""After a kill, and after the last task that had its effect: what has had none by then is lost."""
KILLED_AT = 1 / 3
FIRST_TIMED = 1_000_000
WARM_UPS = 50


@dataclass(frozen=True)
class Size:
    """How much is done: tasks that wait before workers start, and seconds of those that come steadily."""

    tasks: int
    seconds: float


Figures = dict[str, float]
Measure = Callable[[Peer, Space, Path, Size], Awaitable[Figures]]


class Bench:
    """One peer with its sender, and a connection that looks at the effects."""

    def __init__(
        self, peer: Peer, space: Space, log: Path, sending: Sender, database: "asyncpg.Connection[Any]"
    ) -> None:
        self.peer = peer
        self.space = space
        self.log = log
        self.sending = sending
        self.database = database

    async def had(self, number: int, *, first: int = 0, least: int) -> bool:
        """Wait until ``least`` of the tasks from ``first`` on have had an effect; false if no more have."""
        patience = Patience(DRAINED_S)
        while (had := (await effects.progress(self.database, first, number))[1]) < least:
            if not patience.lasts(least - had):
                return False
            await asyncio.sleep(LOOKS_EVERY_S)
        return True

    def wrong(self, what: str) -> NotMeasured:
        """Return what ends a measure, with the end of the peer's log."""
        return NotMeasured(f"{self.peer.name}: {what}\n{tail(self.log)}")


@asynccontextmanager
async def bench(peer: Peer, space: Space, log: Path) -> AsyncIterator[Bench]:
    """Prepare a peer and start its sender for the block."""
    await prepare(peer, space, log)
    connection = await asyncpg.connect(space.database_url, timeout=10, command_timeout=60)
    try:
        async with sender(peer, space, log) as sending:
            yield Bench(peer, space, log, sending, connection)
    finally:
        await connection.close(timeout=5)


async def speed(peer: Peer, space: Space, log: Path, size: Size) -> Figures:
    """Send as fast as it goes while nobody works, then let workers do all of it, then send steadily."""
    async with bench(peer, space, log) as there:
        sent = await there.sending.send(0, size.tasks)
        if sent["refused"]:
            raise there.wrong(f"{len(sent['refused'])} tasks were refused")
        async with workers(peer, space, log) as working:
            if not await there.had(size.tasks, least=1):
                raise there.wrong(f"nothing was done within {DRAINED_S:.0f} s")
            used = working.processor_s
            if not await there.had(size.tasks, least=size.tasks):
                raise there.wrong(f"not all was done, and no more for {DRAINED_S:.0f} s")
            used = working.processor_s - used
            drained = await effects.read(there.database, 0, size.tasks)
            taken = await _steady(there, size)
    counted = size.tasks - CALLERS
    return {
        "enqueue": counted / sent["seconds"],
        "enqueue_processor": 1e6 * sent["processor_s"] / counted,
        "drain": effects.rate([each.at for each in drained]),
        "drain_processor": 1e6 * used / size.tasks,
        "p50": effects.milliseconds(taken, 0.5),
        "p99": effects.milliseconds(taken, 0.99),
    }


async def _steady(there: Bench, size: Size) -> list[float]:
    """Return seconds from due to effect of each task but the first ones, which open connections."""
    number = WARM_UPS + round(RATE * size.seconds)
    sent = await there.sending.send(FIRST_TIMED, number, RATE)
    refused = set(sent["refused"])
    accepted = [each for each in range(FIRST_TIMED, FIRST_TIMED + number) if each not in refused]
    # One that is late even then counts as infinitely late.
    await there.had(number, first=FIRST_TIMED, least=len(accepted))
    found = await effects.read(there.database, FIRST_TIMED, number)
    return effects.latencies(found, accepted[WARM_UPS:])


async def child(peer: Peer, space: Space, log: Path, size: Size) -> Figures:
    """Kill the worker that had the latest effect, while many tasks wait."""

    async def kill(there: Bench, _: Workers) -> None:
        kill_child(await effects.latest_worker(there.database))

    return await _killed(peer, space, log, size, kill)


async def group(peer: Peer, space: Space, log: Path, size: Size) -> Figures:
    """Kill all workers at once with what started them, while many tasks wait."""

    async def kill(_: Bench, working: Workers) -> None:
        working.kill_all()

    return await _killed(peer, space, log, size, kill)


async def _killed(
    peer: Peer, space: Space, log: Path, size: Size, kill: Callable[[Bench, Workers], Awaitable[None]]
) -> Figures:
    async with bench(peer, space, log) as there:
        sent = await there.sending.send(0, size.tasks)
        refused = set(sent["refused"])
        accepted = [number for number in range(size.tasks) if number not in refused]
        async with workers(peer, space, log) as working:
            if not await there.had(size.tasks, least=round(KILLED_AT * size.tasks)):
                raise there.wrong(f"too little was done to kill anybody, and no more for {DRAINED_S:.0f} s")
            await kill(there, working)
            killed = time.time()
            await _settled(there, size.tasks, len(accepted))
        found = await effects.read(there.database, 0, size.tasks)
    after = [each.at - killed for each in found if each.at > killed]
    return {
        "lost": effects.lost(found, accepted),
        "doubled": effects.doubled(found),
        "whole": max(after, default=0.0),
        "starts": working.starts,
    }


async def _settled(there: Bench, number: int, accepted: int) -> None:
    """Wait until every task has had its effect and no second one comes, or until no more of them have one."""
    patience, before, moved = Patience(WHOLE_S), (0, 0), time.monotonic()
    while True:
        now, seen = time.monotonic(), await effects.progress(there.database, 0, number)
        if seen != before:
            before, moved = seen, now
        whole = seen[1] >= accepted and now - moved >= there.peer.settles_s
        if whole or not patience.lasts(accepted - seen[1]):
            return
        await asyncio.sleep(LOOKS_EVERY_S)


MEASURES: dict[str, Measure] = {"speed": speed, "child": child, "group": group}
