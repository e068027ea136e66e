"""How browsers' processes start and end."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from laundry_testing.programs import program

__all__ = ["START_S", "end", "program", "until_there"]

Found = TypeVar("Found")

START_S = 60


async def until_there(
    look: Callable[[], Coroutine[Any, Any, Found | None]], process: asyncio.subprocess.Process
) -> Found:
    """Wait for what a process provides once it has started."""
    async with asyncio.timeout(START_S):
        while (found := await look()) is None:
            assert process.returncode is None, "the browser has ended"
            await asyncio.sleep(0.05)
        return found


async def end(process: asyncio.subprocess.Process) -> None:
    """Ask a process to end, and end it."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(10):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
