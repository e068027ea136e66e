"""One design with its processes running, and what they tell."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg

from laundry_lab.bench.stage import NotMeasured
from laundry_lab.bench.workers import Worker, working
from laundry_lab.compare.approaches import servers
from laundry_lab.compare.approaches.accounts import Account, Answer
from laundry_lab.compare.approaches.design import Addresses, Design

PROCESS = "laundry_lab.compare.approaches.process"
PRODUCER, WORKERS = "producer", 3
ENOUGH_S = 120.0
QUIET_S = 10.0
"""So long nothing may have its effect before what is left counts as lost: twice what the slowest design needs
to give a dead worker's photos to another.
"""

HELD_S = 5.5
"""So long workers are held before a backlog is made: longer than any of them sleeps between two questions, so
that all of them ask at once when they go on.
"""

LOOK_S = 0.05
DATABASE_S = 30.0
READ = "SELECT task_id, received_at, done_at FROM effects"
EMPTY = "TRUNCATE effects"


class Rig:
    """A producer and three workers of a design; each can be killed and started again."""

    def __init__(
        self, design: Design, addresses: Addresses, running: servers.Servers, environment: Mapping[str, str]
    ) -> None:
        self.design, self.addresses, self.servers = design, addresses, running
        self.environment = environment
        self._alive = AsyncExitStack()
        self._parts: dict[str, AsyncExitStack] = {}
        self._processes: dict[str, Worker] = {}
        self._listening: set[asyncio.Task[None]] = set()
        self._picture: Path | None = None
        self.account = Account()
        self.heard_at = time.monotonic()
        self._loaded = asyncio.Event()

    @property
    def pids(self) -> list[int]:
        """Process ids of the producer and the workers."""
        return [each.pid for each in self._processes.values()]

    @property
    def broker_pids(self) -> list[int]:
        """Process ids of what stands between them."""
        found = (each.wrapper_pid for each in self.servers.broker_processes(self.design))
        return [pid for pid in found if pid is not None]

    async def start(self, picture: Path | None) -> None:
        """Start all four. Workers first: a producer without anybody to send to may refuse."""
        self._picture = picture
        await asyncio.gather(*(self.start_worker(number) for number in range(1, WORKERS + 1)))
        await self.start_producer()

    async def start_producer(self) -> None:
        """Start the producer in a process of its own."""
        await self._start(PRODUCER, role="producer")

    async def start_worker(self, number: int) -> None:
        """Start a worker in a process of its own."""
        name = f"worker-{number}"
        await self._start(name, role="worker", worker=name, picture=str(self._picture or ""))

    async def _start(self, name: str, *, role: str, **more: Any) -> None:
        part = AsyncExitStack()
        await self._alive.enter_async_context(part)
        order = {"role": role, **self.design.order(self.addresses), **more}
        process = await part.enter_async_context(working(PROCESS, order, environment=self.environment))
        self._parts[name], self._processes[name] = part, process
        listening = asyncio.create_task(self._listen(process))
        self._listening.add(listening)
        part.callback(listening.cancel)

    async def kill(self, name: str) -> None:
        """End a process as a crash would; what it had told until then is counted."""
        process = self._processes.pop(name)
        await process.kill()
        await self._parts.pop(name).aclose()
        while not process.said.empty():
            self._hear(process.said.get_nowait())

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Hold the workers still for the block: what is submitted in it waits for all of them."""
        pids = [each.pid for name, each in self._processes.items() if name != PRODUCER]
        try:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(HELD_S)
            yield
        finally:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    async def _listen(self, process: Worker) -> None:
        while True:
            self._hear(await process.said.get())

    def _hear(self, told: dict[str, Any]) -> None:
        said = told["said"]
        if said == "loaded":
            self._loaded.set()
        elif said in {"answered", "refused"}:
            self.account.answers[told["id"]] = Answer(told["due"], told["at"], said == "answered")
        elif said == "done":
            # One that is repeated, perhaps for ever, is none that was waited for.
            if told["id"] not in self.account.effects:
                self.heard_at = time.monotonic()
            self.account.effects.setdefault(told["id"], []).append(told["at"])
            self.account.received.setdefault(told["id"], told["received"])

    def load(self, work: str, at: float, **more: Any) -> None:
        """Have the producer submit photos; see ``process``."""
        self._loaded.clear()
        self._processes[PRODUCER].tell(work=work, at=at, **more)

    async def loaded(self, within_s: float = ENOUGH_S) -> None:
        """Wait until the producer has an answer for each. Raises NotMeasured."""
        deadline = time.monotonic() + within_s
        while not self._loaded.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._loaded.wait()
            if not self._processes[PRODUCER].running:
                raise NotMeasured(f"{self.design.name}: the producer ended by itself")
            if time.monotonic() > deadline:
                raise NotMeasured(f"{self.design.name}: not all was submitted within {within_s:.0f} s")

    async def settled(self) -> Account:
        """Wait until everything has its effect, or nothing happens any more; returns what the table says.

        What a worker told says when; the rows say how often.
        """
        self.heard_at = time.monotonic()
        while time.monotonic() < self.heard_at + QUIET_S:
            if self.account.complete:
                break
            await asyncio.sleep(LOOK_S)
        # What is done twice is done shortly after; a repeated photo is at most an acknowledgement away.
        await asyncio.sleep(0.5)
        account, self.account = self.account, Account()
        told = account.effects
        account.effects = {}
        for task_id, received_at, done_at in await self._rows():
            account.effects.setdefault(task_id, []).append(done_at)
            account.received.setdefault(task_id, received_at)
        for task_id, times in account.effects.items():
            # A worker that was killed between commit and telling has not told.
            times[:] = sorted([*told.get(task_id, []), *times[len(told.get(task_id, [])) :]])[: len(times)]
        return account

    async def _rows(self) -> list[Any]:
        connection = await asyncpg.connect(self.addresses["database"], timeout=DATABASE_S)
        try:
            rows = await connection.fetch(READ)
            await connection.execute(EMPTY)
        finally:
            await connection.close()
        return [tuple(row) for row in rows]

    async def close(self) -> None:
        """End every process of this run."""
        await self._alive.aclose()


@asynccontextmanager
async def rig(
    design: Design,
    running: servers.Servers,
    environment: Mapping[str, str],
    picture: Path | None,
    *,
    before: Callable[[Rig], Awaitable[None]] | None = None,
) -> AsyncIterator[Rig]:
    """Start a design's servers and processes; they end with the block.

    Args:
        before: what is done with the servers before there are processes.
    """
    async with running.addresses(design) as addresses:
        found = Rig(design, addresses, running, environment)
        try:
            if before is not None:
                await before(found)
            await found.start(picture)
            yield found
        finally:
            await found.close()


async def database_bytes(address: str) -> int:
    """Return the size of a database."""
    connection = await asyncpg.connect(address, timeout=DATABASE_S)
    try:
        with suppress(asyncpg.PostgresError):
            await connection.execute("CHECKPOINT")
        return int(await connection.fetchval("SELECT pg_database_size(current_database())"))
    finally:
        await connection.close()
