"""Readers that live at another time, by libfaketime."""

import asyncio
from pathlib import Path

from laundry.faults.world import World
from laundry.stack import changes
from laundry.stack.restart import restart

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


async def with_clock(world: World, name: str, offset: str | None) -> None:
    """Restart a process with its clock set off, or right again."""
    settings = {
        "LD_PRELOAD": str(FAKETIME) if offset else "",
        "FAKETIME": offset or "+0",
        # Timeouts must go on counting real seconds.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    changes.change(world.stage.paths, name, settings)
    world.load.ledger.said(f"clock of {name}: {offset or 'right'}")
    await asyncio.to_thread(restart, world.stage.paths, name)
