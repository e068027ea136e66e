"""Readers with a shifted clock, by libfaketime."""

import asyncio
from pathlib import Path

from laundry.stack import changes
from laundry.stack.restart import restart
from laundry_lab.faults.tools import faketime_library
from laundry_lab.faults.world import NotHere, World


async def with_clock(world: World, name: str, offset: str | None) -> bool:
    """Restart a process with its clock set off, or right again.

    Returns:
        whether it has the library that sets its clock off.

    Raises:
        NotHere: libfaketime is not installed.
    """
    library = faketime_library()
    if library is None:
        raise NotHere("libfaketime is missing (apt-get install faketime)")
    settings = {
        "LD_PRELOAD": str(library) if offset else "",
        "FAKETIME": offset or "+0",
        # Timeouts must go on counting real seconds.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    changes.change(world.stage.paths, name, settings)
    world.load.ledger.said(f"clock of {name}: {offset or 'right'}")
    pid = await asyncio.to_thread(restart, world.stage.paths, name)
    return library.name in await asyncio.to_thread(Path(f"/proc/{pid}/maps").read_text)
