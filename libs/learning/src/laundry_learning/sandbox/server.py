"""Starts confined processes for the container beside this one.

``python -m laundry_learning.sandbox.server SOCKET`` has no secret. It ends with the process that holds it:
that connection is its life. When memory runs out and the kernel kills a confined process, the whole container
ends, as newer nodes do it by themselves: its cluster then knows why.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path

from laundry_learning.sandbox.environment import trainer_confinement, worker_confinement
from laundry_learning.sandbox.launcher import (
    EXIT,
    LINE_BYTES,
    Request,
    start,
    trainer_command,
    worker_command,
)

NOBODY_CAME_S = 300.0
PIECE = 2**16
SIGNALLED = 128


class Server:
    """Serves a socket until its holder disconnects."""

    def __init__(self) -> None:
        self.held = asyncio.Event()
        self.over = asyncio.Event()
        self.starved = False
        self._going: set[asyncio.Task[None]] = set()

    async def take(self, source: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        """Do what one connection asks for."""
        try:
            request = Request.read(await source.readline())
            if request.task == "hold":
                self.held.set()
                await source.read()
                self.over.set()
            elif request.task == "look":
                process = await start(worker_confinement(), *worker_command(), threads=1)
                self._end_if_killed(await self._pass_on(process, source, out))
            elif request.task == "train":
                folder, data = Path(request.folder), Path(request.data)
                python = Path(sys.executable)
                program = trainer_command(python, folder)
                confinement = trainer_confinement(python, folder, data)
                process = await start(
                    confinement,
                    *program,
                    threads=request.threads,
                    errors=asyncio.subprocess.STDOUT,
                    scratch=str(folder),
                )
                code = await self._pass_on(process, source, out)
                out.write(json.dumps({EXIT: code}).encode() + b"\n")
                self._end_if_killed(code)
        except (OSError, ValueError, TypeError) as error:
            print(f"a request failed: {type(error).__name__}: {error}", file=sys.stderr)
        finally:
            with contextlib.suppress(OSError):
                await out.drain()
            out.close()

    def _end_if_killed(self, code: int | None) -> None:
        if code == -signal.SIGKILL:
            self.starved = True
            self.over.set()

    async def _pass_on(
        self, process: asyncio.subprocess.Process, source: asyncio.StreamReader, out: asyncio.StreamWriter
    ) -> int | None:
        """Connect both; returns how the process ended by itself, None if the client left it before."""
        client_is_gone = False
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        async def there() -> None:
            nonlocal client_is_gone
            with contextlib.suppress(OSError):
                while piece := await source.read(PIECE):
                    # What has ended takes no more; how it ended, its end tells.
                    with contextlib.suppress(OSError):
                        stdin.write(piece)
                        await stdin.drain()
            client_is_gone = True
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

        asking = asyncio.create_task(there())
        try:
            with contextlib.suppress(OSError):
                while piece := await stdout.read(PIECE):
                    out.write(piece)
                    await out.drain()
            code = await process.wait()
            return None if client_is_gone else code
        finally:
            asking.cancel()
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()


async def serve(path: Path) -> int:
    """Serve until who holds it ends, nobody comes, or memory runs out; returns the exit code."""
    server = Server()
    await asyncio.to_thread(path.unlink, missing_ok=True)
    async with await asyncio.start_unix_server(server.take, path, limit=LINE_BYTES):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(NOBODY_CAME_S):
                await server.held.wait()
        if server.held.is_set():
            await server.over.wait()
    return SIGNALLED + signal.SIGKILL if server.starved else 0


if __name__ == "__main__":
    # The first process of a container ends at a signal only if it handles it.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(SIGNALLED + signal.SIGTERM))
    sys.exit(asyncio.run(serve(Path(sys.argv[1]))))
