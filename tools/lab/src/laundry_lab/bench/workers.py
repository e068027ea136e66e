"""Worker processes of a measurement: each stands in for one service, outside the process that measures."""

import asyncio
import json
import os
import signal
import sys
import time
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
LOOK_S = 0.2
REMAINS_S = 1.0
"""For what a process that has ended said last, which its children may have the end of."""


class Worker:
    """One worker process, which reports what it saw as lines of JSON."""

    def __init__(
        self, process: asyncio.subprocess.Process, name: str = "a process of the measurement"
    ) -> None:
        self._process = process
        self._name = name
        self.said: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.log_lines = 0
        self._last_words = ""
        self._joined = Joined()
        self._reading = [asyncio.create_task(self._read())]
        if process.stderr is not None:
            self._reading.append(asyncio.create_task(self._pass_on(process.stderr)))
        self._over = asyncio.create_task(self._until_over())

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

    async def _pass_on(self, errors: asyncio.StreamReader) -> None:
        async for line in errors:
            text = line.decode(errors="replace")
            sys.stderr.write(text)
            self._last_words = text.strip() or self._last_words

    async def _until_over(self) -> None:
        """Wait until it has ended, and what it said is read."""
        # Its own wait() is also for its children, which may have its output open.
        while self.running and not self._reading[0].done():
            await asyncio.wait(self._reading[:1], timeout=LOOK_S)
        until = time.monotonic() + REMAINS_S
        while self.running or not all(each.done() for each in self._reading):
            if time.monotonic() > until:
                break
            await asyncio.sleep(LOOK_S / 10)

    async def next(self, *, within_s: float) -> dict[str, Any]:
        """Wait for whatever it reports next.

        Raises:
            TimeoutError: it says nothing.
            NotMeasured: it has ended, and will not say anything.
        """
        if not self.said.empty():
            return self.said.get_nowait()
        hearing = asyncio.create_task(self.said.get())
        try:
            await asyncio.wait({hearing, self._over}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
            if hearing.done():
                return hearing.result()
        finally:
            hearing.cancel()
        self.check()
        raise TimeoutError

    async def hear(self, what: str, *, within_s: float = READY_S) -> dict[str, Any]:
        """Wait for this report of it. Raises NotMeasured."""
        deadline = time.monotonic() + within_s
        try:
            while True:
                found = await self.next(within_s=max(0.0, deadline - time.monotonic()))
                if found["said"] == what:
                    return found
        except TimeoutError:
            raise NotMeasured(f"{self._name} did not say {what!r} in {within_s:.0f} s") from None

    def check(self) -> None:
        """Raise NotMeasured if it has ended."""
        if not self._over.done():
            return
        status = self._process.returncode
        if status is None:
            how = "closed its output"
        elif status < 0:
            how = f"was killed ({signal.Signals(-status).name})"
        else:
            how = f"ended by itself, with exit status {status}"
        raise NotMeasured(f"{self._name} {how}" + (f": {self._last_words}" if self._last_words else ""))

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
        await self._over
        if not all(each.done() for each in self._reading):
            # Its children live on, and nobody else ends them.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        with suppress(TimeoutError):
            async with asyncio.timeout(REMAINS_S):
                await self._process.wait()
        for each in self._reading:
            each.cancel()
        await asyncio.gather(*self._reading, return_exceptions=True)


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
        env=by_installed_modules(os.environ if environment is None else environment),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=LINE_BYTES,
        # Ctrl-C is for the process that measures: it ends this one in its own time.
        start_new_session=True,
    )
    assert process.stdin is not None
    # By standard input: passwords must not appear in a command line or an environment.
    process.stdin.write(json.dumps(order).encode() + b"\n")
    found = Worker(process, f"the measurement's process {order.get('role', module)!r}")
    try:
        await found.hear("ready")
        yield found
    finally:
        await found.kill()


def by_installed_modules(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which ``python -m`` takes no module of the folder that it is started in."""
    return {**environment, "PYTHONSAFEPATH": "1"}
