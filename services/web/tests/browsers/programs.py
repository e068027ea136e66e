"""Where the browsers are, and how their processes start and end."""

import asyncio
import os
import shutil
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

Found = TypeVar("Found")

START_S = 60
PACKAGES = {
    "chromium": "chromium",
    "firefox-esr": "firefox-esr",
    "WebKitWebDriver": "webkit2gtk-driver",
    "Xvfb": "xvfb",
}


def program(name: str, *, whole: bool = False) -> str:
    """Find a program; without it the test is skipped, but never where everything must be tested.

    Args:
        whole: the browser itself, where its engine alone would do for most tests.
    """
    found = os.environ.get("LAUNDRY_CHROMIUM") if name == "chromium" else None
    # The same engine without the browser around it: a new page costs a third of the processor time.
    engine = name == "chromium" and not whole
    found = found or (shutil.which("chromium-headless-shell") if engine else None)
    found = found or shutil.which(name)
    if found is None:
        missing = f"{name} is not installed: apt-get install {PACKAGES[name]}"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return found


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
