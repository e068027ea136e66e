"""Starts shut-in processes: beside this one, or in the container beside this one's."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from laundry_learning.sandbox.enter import Rules
from laundry_learning.sandbox.environment import environment, looking, training

KILL_AFTER_S = 5.0
CONNECT_S = 60.0
LINE_BYTES = 2**20
EXIT = "exit"


@dataclass
class Shut:
    """A shut-in process, by what it reads and writes."""

    source: asyncio.StreamReader
    out: asyncio.StreamWriter
    process: asyncio.subprocess.Process | None = None

    async def end(self) -> None:
        """End it with all that it started."""
        self.out.close()
        if self.process is None or self.process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()


class Starter(Protocol):
    """Starts shut-in processes."""

    async def look(self) -> Shut:
        """Start who looks at photos. Raises OSError."""

    async def train(self, python: Path, folder: Path, data: Path, *, threads: int) -> Shut:
        """Start the trainer on a run's folder. Its last line is ``{"exit": code}``. Raises OSError."""


async def start(
    rules: Rules, *program: str, threads: int, errors: int | None = None, scratch: str = ""
) -> asyncio.subprocess.Process:
    """Start a program of this machine under rules, without this process's environment.

    Args:
        errors: where its error output goes; default: to this process's.
        scratch: where it may leave temporary files.
    """
    return await asyncio.create_subprocess_exec(
        *rules.command(*program),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=errors,
        env={**environment(threads), **({"TMPDIR": scratch, "HOME": scratch} if scratch else {})},
        # A session of its own: it is ended with its children, and no terminal is its own.
        start_new_session=True,
        cwd="/",
        limit=LINE_BYTES,
    )


def look_command() -> tuple[str, ...]:
    """Return the program that looks at photos."""
    return (sys.executable, "-m", "laundry_learning.sandbox.worker")


def train_command(python: Path, folder: Path) -> tuple[str, ...]:
    """Return the trainer's program."""
    return (str(python), "-m", "laundry_training.tune", str(folder))


class Here:
    """Beside this process."""

    async def look(self) -> Shut:
        """As ``Starter.look``."""
        return _shut(await start(looking(), *look_command(), threads=1))

    async def train(self, python: Path, folder: Path, data: Path, *, threads: int) -> Shut:
        """As ``Starter.train``."""
        rules = training(python, folder, data)
        program = train_command(python, folder)
        return _shut(
            await start(
                rules, *program, threads=threads, errors=asyncio.subprocess.STDOUT, scratch=str(folder)
            )
        )


class Beside:
    """In another container of this pod, asked through a socket in a folder that both have."""

    def __init__(self, path: Path) -> None:
        """Take the socket of ``laundry_learning.sandbox.server``."""
        self._path = path
        self._held: asyncio.StreamWriter | None = None

    async def look(self) -> Shut:
        """As ``Starter.look``."""
        return await self._ask({"task": "look"})

    async def train(self, python: Path, folder: Path, data: Path, *, threads: int) -> Shut:
        """As ``Starter.train``."""
        return await self._ask(
            {"task": "train", "folder": str(folder), "data": str(data), "threads": threads}
        )

    async def hold(self) -> None:
        """Let the other container go on for as long as this process lives."""
        self._held = (await self._ask({"task": "hold"})).out

    async def _ask(self, wish: dict[str, object]) -> Shut:
        deadline = asyncio.get_running_loop().time() + CONNECT_S
        while True:
            try:
                source, out = await asyncio.open_unix_connection(self._path, limit=LINE_BYTES)
                break
            except OSError:
                # Containers of a pod start in any order.
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(0.2)
        out.write(json.dumps(wish).encode() + b"\n")
        await out.drain()
        return Shut(source, out)


def _shut(process: asyncio.subprocess.Process) -> Shut:
    assert process.stdout is not None
    assert process.stdin is not None
    return Shut(process.stdout, process.stdin, process)


def starter_of(socket: Path | None) -> Here | Beside:
    """Choose where shut-in processes run."""
    return Here() if socket is None else Beside(socket)
