"""Starts confined processes: on this machine, or in the container beside this one's."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Protocol

from laundry_learning.sandbox.enter import Confinement
from laundry_learning.sandbox.environment import environment, trainer_confinement, worker_confinement

KILL_AFTER_S = 5.0
CONNECT_S = 60.0
GONE_S = 5.0
LINE_BYTES = 2**20
EXIT = "exit"


class SandboxGone(ConnectionError):
    """The container that runs confined processes is not there any more; its cluster knows why."""


@dataclass
class ConfinedProcess:
    """A confined process: its output to read, its input to write; no handle if it runs in a sidecar."""

    source: asyncio.StreamReader
    out: asyncio.StreamWriter
    process: asyncio.subprocess.Process | None = None

    async def end(self) -> None:
        """End it with all its children."""
        self.out.close()
        if self.process is None or self.process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()


@dataclass(frozen=True)
class Request:
    """What a run's process asks of the container beside it, one line of JSON.

    ``hold`` keeps the container alive as long as the connection; ``look`` starts the worker, and ``train``
    the trainer, which alone has a folder, data and threads.
    """

    task: Literal["hold", "look", "train"]
    folder: str = ""
    data: str = ""
    threads: int = 1

    @classmethod
    def read(cls, line: bytes) -> "Request":
        """Read a line. Raises ValueError, TypeError."""
        return cls(**json.loads(line))


class Sandbox(Protocol):
    """Where confined processes are started: on this machine, or in a container of their own."""

    async def start_worker(self) -> ConfinedProcess:
        """Start the worker that reads photos and models. Raises OSError."""

    async def start_trainer(self, python: Path, folder: Path, data: Path, *, threads: int) -> ConfinedProcess:
        """Start the trainer on a run's folder. Its last line is ``{"exit": code}``. Raises OSError."""

    async def check(self) -> None:
        """Tell a confined process that ended from a container that did. Raises SandboxGone for the latter."""


async def start(
    confinement: Confinement, *program: str, threads: int, errors: int | None = None, scratch: str = ""
) -> asyncio.subprocess.Process:
    """Start a program of this machine confined, without this process's environment.

    Args:
        errors: where its error output goes; default: to this process's.
        scratch: where it may leave temporary files.
    """
    return await asyncio.create_subprocess_exec(
        *confinement.command(*program),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=errors,
        env={**environment(threads), **({"TMPDIR": scratch, "HOME": scratch} if scratch else {})},
        # A session of its own: it is ended with its children, and no terminal is its own.
        start_new_session=True,
        cwd="/",
        limit=LINE_BYTES,
    )


def worker_command() -> tuple[str, ...]:
    """Return the command line of the worker."""
    return (sys.executable, "-m", "laundry_learning.sandbox.worker")


def trainer_command(python: Path, folder: Path) -> tuple[str, ...]:
    """Return the command line of the trainer, by the interpreter that has torch."""
    return (str(python), "-m", "laundry_training.tune", str(folder))


class LocalSandbox:
    """Starts them on this machine, as children of this process."""

    async def start_worker(self) -> ConfinedProcess:
        """Do what ``Sandbox.start_worker`` says."""
        return _confined(await start(worker_confinement(), *worker_command(), threads=1))

    async def start_trainer(self, python: Path, folder: Path, data: Path, *, threads: int) -> ConfinedProcess:
        """Do what ``Sandbox.start_trainer`` says."""
        confinement = trainer_confinement(python, folder, data)
        program = trainer_command(python, folder)
        return _confined(
            await start(
                confinement, *program, threads=threads, errors=asyncio.subprocess.STDOUT, scratch=str(folder)
            )
        )

    async def check(self) -> None:
        """Do what ``Sandbox.check`` says: this machine is there."""


class SidecarSandbox:
    """In another container of this pod, asked through a socket in a folder that both have."""

    def __init__(self, path: Path) -> None:
        """Take the socket of ``laundry_learning.sandbox.server``."""
        self._path = path
        self._held: asyncio.StreamWriter | None = None
        self._patience = CONNECT_S

    async def start_worker(self) -> ConfinedProcess:
        """Do what ``Sandbox.start_worker`` says."""
        return await self._ask(Request("look"))

    async def start_trainer(self, python: Path, folder: Path, data: Path, *, threads: int) -> ConfinedProcess:
        """Do what ``Sandbox.start_trainer`` says."""
        return await self._ask(Request("train", str(folder), str(data), threads))

    async def check(self) -> None:
        """Do what ``Sandbox.check`` says."""
        try:
            async with asyncio.timeout(GONE_S):
                _, out = await asyncio.open_unix_connection(self._path)
        except OSError as error:
            raise _gone(error) from error
        out.close()

    async def hold(self) -> None:
        """Keep the other container alive while this process lives."""
        self._held = (await self._ask(Request("hold"))).out

    async def _ask(self, request: Request) -> ConfinedProcess:
        deadline = asyncio.get_running_loop().time() + self._patience
        while True:
            try:
                source, out = await asyncio.open_unix_connection(self._path, limit=LINE_BYTES)
                break
            except OSError as error:
                # Containers of a pod start in any order; one that has ended does not come back.
                if asyncio.get_running_loop().time() > deadline:
                    raise _gone(error) from error
                await asyncio.sleep(0.2)
        self._patience = GONE_S
        try:
            async with asyncio.timeout(GONE_S):
                out.write(json.dumps(asdict(request)).encode() + b"\n")
                await out.drain()
        except OSError as error:
            raise _gone(error) from error
        return ConfinedProcess(source, out)


def _gone(error: OSError) -> SandboxGone:
    return SandboxGone(f"the container that reads photos is gone: {error}")


def _confined(process: asyncio.subprocess.Process) -> ConfinedProcess:
    assert process.stdout is not None
    assert process.stdin is not None
    return ConfinedProcess(process.stdout, process.stdin, process)


def sandbox_of(socket: Path | None) -> LocalSandbox | SidecarSandbox:
    """Choose where confined processes run: in the container that owns the socket, or here."""
    return LocalSandbox() if socket is None else SidecarSandbox(socket)
