"""Decodes photos in separate processes, so that no photo can hang, crash or exhaust this one."""

import asyncio
import contextlib
import json
import os
import struct
import sys
from collections.abc import Callable
from typing import Any

import structlog
from prometheus_client import Counter

from laundry_reading import errors
from laundry_reading.errors import DamagedPhoto, PhotoError
from laundry_reading.photo import PhotoInfo
from laundry_reading.pictures import Made, Pictures
from laundry_reading.worker import READY, message

ENDED = Counter("laundry_helper_decoder_ended", "Decoders that did not survive a photo", ["how"])
SURROUNDINGS = frozenset({"PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ"})
START_S, END_S = 60.0, 5.0

MOST_TOLD, MOST_MADE = 64 * 1024, 16 * 1024 * 1024
"""So many bytes a decoder may tell of a photo, and make of it: four times both pictures of nothing but noise.

What a photo may have taken over could else exhaust this process by a long answer.
"""

log = structlog.get_logger(__name__)


class DecoderBusy(Exception):
    """Too many photos are waiting to be decoded: try again later."""


class _Gone(Exception):
    """A process ended before it had taken an order whole: no photo's fault."""


class Decoder:
    """A small pool of processes, started on demand and ended when idle."""

    def __init__(self, *, processes: int, waiting: int, patience_s: float, idle_s: float) -> None:
        """Take how many there may be, how many photos may wait, and how long one may take."""
        self._free = asyncio.Semaphore(processes)
        self._most = processes + waiting
        self._asked = 0
        self._patience_s = patience_s
        self._idle_s = idle_s
        self._resting: list[_Process] = []
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False

    async def check(self, photo: bytes, *, max_bytes: int, max_pixels: int) -> PhotoInfo:
        """Check a photo by decoding it.

        Raises:
            PhotoError: it cannot be read.
            DecoderBusy.
        """
        told, _ = await self._ask(photo, do="check", max_bytes=max_bytes, max_pixels=max_pixels)
        return PhotoInfo(**told["info"])

    async def pictures(self, photo: bytes) -> Pictures:
        """Make a photo's pictures for showing.

        Raises:
            PhotoError: it cannot be decoded.
            DecoderBusy.
        """
        told, parts = await self._ask(photo, do="pictures")
        made = [Made(data, *size) for data, size in zip(parts, told["pictures"], strict=True)]
        return Pictures(*made)

    async def readable(self, photo: bytes, *, max_bytes: int, max_pixels: int) -> bytes:
        """Make the picture of a photo that a model can read as well: a small JPEG.

        Raises:
            PhotoError: it cannot be decoded.
            DecoderBusy.
        """
        _, (data,) = await self._ask(photo, do="readable", max_bytes=max_bytes, max_pixels=max_pixels)
        return data

    async def close(self) -> None:
        """End the processes that wait for work."""
        self._closed = True
        for process in self._resting:
            await process.end()
        self._resting.clear()
        await asyncio.gather(*self._ending)

    async def _ask(self, photo: bytes, **order: Any) -> tuple[dict[str, Any], list[bytes]]:
        if self._asked >= self._most:
            raise DecoderBusy
        self._asked += 1
        try:
            async with self._free:
                told, parts = await self._work(message(order, photo))
        finally:
            self._asked -= 1
        if "error" in told:
            raise _error(told)
        return told, parts

    async def _work(self, order: bytes) -> tuple[dict[str, Any], list[bytes]]:
        rested = await self._rested()
        if rested is not None:
            with contextlib.suppress(_Gone):
                return await self._answer(rested, order)
        try:
            return await self._answer(await _Process.start(), order)
        except _Gone as error:
            raise DecoderBusy from error

    async def _rested(self) -> "_Process | None":
        while self._resting:
            process = self._resting.pop()
            process.keep()
            if process.lives:
                return process
            log.warning("a decoder died while it had nothing to do")
            await process.end()
        return None

    async def _answer(self, process: "_Process", order: bytes) -> tuple[dict[str, Any], list[bytes]]:
        try:
            async with asyncio.timeout(self._patience_s):
                answer = await process.ask(order)
        except TimeoutError as error:
            # A photo that takes too much work ends its process; here the process made too little progress.
            ENDED.labels("late").inc()
            log.warning("a decoder was not done in time")
            await process.end()
            raise DecoderBusy from error
        except _Gone:
            log.warning("a decoder died before it had a photo")
            await process.end()
            raise
        except (asyncio.IncompleteReadError, OSError, ValueError) as error:
            ENDED.labels("crashed").inc()
            log.warning("a photo ended its decoder", error=type(error).__name__)
            await process.end()
            raise DamagedPhoto("The photo cannot be decoded. Send it as an ordinary JPEG.") from error
        except BaseException:
            # Its late answer would be mistaken for the next photo's.
            await process.end()
            raise
        if self._closed:
            await process.end()
        else:
            self._resting.append(process)
            process.after(self._idle_s, lambda: self._end_unused(process))
        return answer

    def _end_unused(self, process: "_Process") -> None:
        if process in self._resting:
            self._resting.remove(process)
            task = asyncio.create_task(process.end())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)


class _Process:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._end: asyncio.TimerHandle | None = None

    @classmethod
    async def start(cls) -> "_Process":
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "laundry_reading.worker",
            stdin=pipe,
            stdout=pipe,
            limit=2**20,
            # Nothing of our environment: no addresses, no passwords.
            env={name: value for name, value in os.environ.items() if name in SURROUNDINGS},
        )
        started = cls(process)
        try:
            async with asyncio.timeout(START_S):
                await started.read(len(READY))
        except BaseException as error:
            await started.end()
            if isinstance(error, (TimeoutError, asyncio.IncompleteReadError)):
                log.warning("a decoder does not start", error=type(error).__name__)
                raise DecoderBusy from error
            raise
        return started

    @property
    def lives(self) -> bool:
        """Whether it is not known to have ended."""
        return self._process.returncode is None

    async def ask(self, order: bytes) -> tuple[dict[str, Any], list[bytes]]:
        await self._give(order)
        (size,) = struct.unpack(">I", await self.read(4))
        if size > MOST_TOLD:
            raise ValueError(f"a decoder wants to tell {size} bytes")
        told = json.loads(await self.read(size))
        lengths = told.get("parts") if isinstance(told, dict) else None
        if not isinstance(lengths, list) or not all(type(each) is int and each >= 0 for each in lengths):
            raise ValueError("a decoder does not tell what it has made")
        if sum(lengths) > MOST_MADE:
            raise ValueError(f"a decoder has made {sum(lengths)} bytes")
        return told, [await self.read(length) for length in lengths]

    async def _give(self, order: bytes) -> None:
        asks = self._process.stdin
        if asks is None:
            raise OSError("the decoder has no input")
        try:
            asks.write(order)
            await asks.drain()
        except OSError as error:
            raise _Gone from error
        # A write that did not have to wait says nothing of the end of whoever was to read.
        if asks.is_closing():
            raise _Gone

    async def read(self, size: int) -> bytes:
        if self._process.stdout is None:
            raise OSError("the decoder has no output")
        return await self._process.stdout.readexactly(size)

    def keep(self) -> None:
        if self._end is not None:
            self._end.cancel()

    def after(self, seconds: float, end: Callable[[], None]) -> None:
        self._end = asyncio.get_running_loop().call_later(seconds, end)

    async def end(self) -> None:
        self.keep()
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        if self._process.stdin is not None:
            self._process.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                # To the end of its output, or its pipe stays open; what is left of it is not kept.
                while self._process.stdout is not None and await self._process.stdout.read(MOST_TOLD):
                    pass
                await self._process.wait()


def _error(told: dict[str, Any]) -> PhotoError:
    kind = getattr(errors, str(told["error"]), PhotoError)
    error = kind(told["message"], **told["facts"])
    return error if isinstance(error, PhotoError) else PhotoError(told["message"])
