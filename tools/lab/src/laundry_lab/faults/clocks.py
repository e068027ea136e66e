"""Readers with a shifted clock, by libfaketime."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from laundry.stack import changes
from laundry.stack.restart import restart
from laundry_lab.faults.tools import faketime_library
from laundry_lab.faults.world import NotHere, World
from laundry_lab.kept_settings import kept_settings


@asynccontextmanager
async def with_clock(world: World, name: str, offset: str) -> AsyncIterator[bool]:
    """Restart a process with its clock set off, and with its own again after the block.

    Yields:
        whether it has the library that sets its clock off.

    Raises:
        NotHere: libfaketime is not installed.
    """
    library = faketime_library()
    if library is None:
        raise NotHere("libfaketime is missing (apt-get install faketime)")
    settings = {
        "LD_PRELOAD": str(library),
        "FAKETIME": offset,
        # Timeouts must go on counting real seconds.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    paths = world.stage.paths
    async with kept_settings(paths, name, *settings):
        changes.change(paths, name, settings)
        world.load.ledger.said(f"clock of {name}: {offset}")
        pid = await asyncio.to_thread(restart, paths, name)
        yield library.name in await asyncio.to_thread(Path(f"/proc/{pid}/maps").read_text)
    world.load.ledger.said(f"clock of {name}: right")
