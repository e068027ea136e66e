"""The processes of a peer: the one that sends, and its workers, started again whenever all of them end."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

import laundry_lab
from laundry_lab.bench.stage import NotMeasured
from laundry_lab.bench.workers import LINE_BYTES, Worker, by_installed_modules
from laundry_lab.compare.peers.catalogue import Peer
from laundry_lab.compare.peers.servers import Space
from laundry_servers.process import Process, base_environment

LOOKS_EVERY_S = 0.1
PAUSE_S = 0.5
"""Before workers that ended are started again."""
STARTS = 5
PREPARE_S = 60.0
SEND_S = 120.0
SLOWEST = 100.0
"""Tasks a second that anybody accepts, and does, on a slow machine."""


def sending_s(number: int, rate: float = 0.0) -> float:
    """Return how long sending so many tasks may take, at a rate or as fast as it goes."""
    return SEND_S + number / (rate or SLOWEST)


def _environment(space: Space) -> dict[str, str]:
    # Of the lab only this: the peers' programs run where it is not installed.
    library = str(Path(laundry_lab.__path__[0]).parent)
    return by_installed_modules({**base_environment(), **space.environment, "PYTHONPATH": library})


class Sender:
    """The program that sends."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        self._orders = process.stdin
        self.told = Worker(process)

    async def send(self, first: int, number: int, rate: float = 0.0) -> dict[str, Any]:
        """Have it send tasks, and return what became of them. Raises NotMeasured."""
        order = {"first": first, "number": number, "rate": rate}
        self._orders.write(json.dumps(order).encode() + b"\n")
        await self._orders.drain()
        return await self.told.hear("sent", within_s=sending_s(number, rate))


@asynccontextmanager
async def sender(peer: Peer, space: Space, log: Path) -> AsyncIterator[Sender]:
    """Start the program that sends, connected, for the block. Raises NotMeasured."""
    with log.open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            str(peer.python),
            *peer.sender,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env=_environment(space),
            limit=LINE_BYTES,
            # Ctrl-C is for the process that measures: it ends this one in its own time.
            start_new_session=True,
        )
    found = Sender(process)
    try:
        await found.told.hear("ready")
        yield found
    finally:
        await found.told.kill()


async def prepare(peer: Peer, space: Space, log: Path) -> None:
    """Make what a peer needs beforehand. Raises NotMeasured."""
    if not peer.prepares:
        return
    with log.open("ab") as told:
        process = await asyncio.create_subprocess_exec(
            str(peer.python), *peer.prepares, stdout=told, stderr=told, env=_environment(space)
        )
        try:
            async with asyncio.timeout(PREPARE_S):
                status = await process.wait()
        except TimeoutError:
            status = None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    if status != 0:
        raise NotMeasured(f"{peer.name}: its tables were not made\n{tail(log)}")


class Workers:
    """A peer's workers: the program that starts them and its children, one process group."""

    def __init__(self, peer: Peer, space: Space, log: Path) -> None:
        self._process = Process(
            name=peer.name,
            command=[str(peer.python), *peer.worker],
            environment=_environment(space),
            log_file=log,
            ready=lambda: True,
            cwd=log.parent,
        )
        self.starts = 0

    async def keep(self) -> None:
        """Start them, and again when all have ended, as whatever supervises them does."""
        while self.starts < STARTS:
            self._process.spawn()
            self.starts += 1
            while self._process.running:  # noqa: ASYNC110 - a process is asked
                await asyncio.sleep(LOOKS_EVERY_S)
            self._process.end_remains()
            await asyncio.sleep(PAUSE_S)

    def kill_all(self) -> None:
        """Kill the whole process group, as the kernel does when memory is short or a node is lost."""
        self._process.kill()

    def end(self) -> None:
        """End them for good."""
        self._process.kill()
        self._process.wait_stopped(time.monotonic() + 5)

    @property
    def processor_s(self) -> float:
        """Processor time that they have used."""
        used = 0.0
        with suppress(psutil.Error):
            root = psutil.Process(self._process.wrapper_pid)
            for process in [root, *root.children(recursive=True)]:
                with suppress(psutil.Error):
                    times = process.cpu_times()
                    used += times.user + times.system
        return used


def kill_child(pid: int) -> None:
    """Kill one worker process with SIGKILL."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@asynccontextmanager
async def workers(peer: Peer, space: Space, log: Path) -> AsyncIterator[Workers]:
    """Start a peer's workers for the block."""
    found = Workers(peer, space, log)
    keeping = asyncio.create_task(found.keep())
    try:
        yield found
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        found.end()


def tail(log: Path, lines: int = 15) -> str:
    """Return the end of a log."""
    text = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join(f"  | {line}" for line in text[-lines:])
