"""Worker processes of a measurement: each stands in for one service, outside the process that measures."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import psutil

from laundry_lab.bench.reports import Joined
from laundry_lab.bench.stage import NotMeasured

ROLES = "laundry_lab.bench.roles"
READY_S = 30.0
END_S = 30.0
LINE_BYTES = 64 * 1024 * 1024


class Worker:
    """One worker process, which reports what it saw as lines of JSON."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.log_lines = 0
        self._joined = Joined()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            try:
                found = json.loads(line)
            except ValueError:
                found = None
            if not isinstance(found, dict) or "said" not in found:
                self.log_lines += 1
            elif (whole := self._joined.take(found)) is not None:
                self.said.put_nowait(whole)

    async def hear(self, what: str, *, within_s: float = READY_S) -> dict[str, Any]:
        """Wait for its next report. Raises NotMeasured."""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    found = await self.said.get()
                    if found["said"] == what:
                        return found
        except TimeoutError:
            raise NotMeasured(
                f"a process of the measurement did not say {what!r} in {within_s:.0f} s"
            ) from None

    def tell(self, **more: Any) -> None:
        """Give it a further line, if its role reads any."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(more).encode() + b"\n")

    def ask_to_end(self) -> None:
        """Tell it to end, which its report follows."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    async def end(self) -> dict[str, Any]:
        """Stop it and return its report. Raises NotMeasured."""
        self.ask_to_end()
        return await self.hear("seen", within_s=END_S)

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    @property
    def pid(self) -> int:
        """Process id, for signals and measurements."""
        return self._process.pid

    @property
    def processor_s(self) -> float:
        """Processor time that it has used."""
        with suppress(psutil.Error):
            times = psutil.Process(self._process.pid).cpu_times()
            return float(times.user + times.system)
        return 0.0

    async def kill(self) -> None:
        """End it as a crash would."""
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        await self._reading


@asynccontextmanager
async def worker(role: str, **order: Any) -> AsyncIterator[Worker]:
    """Start a process in a role of ``laundry_lab.bench.roles``, ready to work; it ends with the block."""
    async with working(ROLES, {"role": role, **order}) as found:
        yield found


@asynccontextmanager
async def working(
    module: str, order: Mapping[str, Any], *, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Worker]:
    """Start a process that reads its order from standard input, ready to work; it ends with the block."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=LINE_BYTES,
        # Ctrl-C is for the process that measures: it ends this one in its own time.
        start_new_session=True,
    )
    assert process.stdin is not None
    # By standard input: passwords must not appear in a command line or an environment.
    process.stdin.write(json.dumps(order).encode() + b"\n")
    found = Worker(process)
    try:
        await found.hear("ready")
        yield found
    finally:
        await found.kill()
