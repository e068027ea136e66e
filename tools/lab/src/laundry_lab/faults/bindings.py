"""A binding that somebody removed: the history takes what is published, so the broker tells nobody."""

import asyncio
import json
import os
import subprocess
import sys

from laundry.history.effects import RECENT
from laundry_events.plan import EVENTS_EXCHANGE
from laundry_lab.faults.messages import opened_channel
from laundry_lab.faults.world import Fault, Observation, World

QUEUE = "task.read"
TOLD_S = 30.0
MISSED = 10
COMMAND_S = 90.0
NOT_ENDED = 124


async def laundry(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command that a person would, on this stack; one that does not end has status ``NOT_ENDED``."""
    world.load.ledger.said(f"laundry {' '.join(arguments)}")
    command = [sys.executable, "-m", "laundry.cli", *arguments]
    try:
        return await asyncio.to_thread(
            subprocess.run,
            command,
            env={**os.environ, "LAUNDRY_VAR_DIR": str(world.stage.paths.var)},
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, NOT_ENDED, "", f"not ended after {COMMAND_S:.0f} s")


async def unhandled(world: World) -> set[str] | None:
    """Return the ids of what never reached the queue; None if the history did not tell.

    Its status is 1 where there are such, and 1 also where it could not look: then it names none.
    """
    told = await laundry(world, "history", "--unhandled", "--json")
    try:
        lines = [json.loads(line) for line in told.stdout.splitlines()]
        known = told.returncode == (1 if lines else 0)
        return {line["id"] for line in lines if line["queue"] == QUEUE} if known else None
    except (ValueError, TypeError, KeyError):
        return None


async def lost(world: World) -> list[Observation]:
    """Unbind the queue of readings while photos are read, and repair it as a person would."""
    async with opened_channel(world) as channel:
        queue = await channel.get_queue(QUEUE, ensure=False)
        try:
            await queue.unbind(EVENTS_EXCHANGE, QUEUE)
            world.load.ledger.said(f"{QUEUE} is no longer bound")

            async def told() -> bool:
                return await world.metric("operations", f'laundry_bindings_missing{{queue="{QUEUE}"}}') > 0

            alarmed = await world.eventually(told, TOLD_S, every_s=0.5)
            accepts = await world.accepts(TOLD_S, more=MISSED)
            verified = await laundry(world, "topology", "verify")
        finally:
            applied = await laundry(world, "topology", "apply", "--yes")
    # What was published before that is old enough to be told from what is on its way.
    await asyncio.sleep(RECENT.total_seconds())
    missed = await unhandled(world)
    again = ("replay", "--unhandled", "--into", QUEUE, "--reason", "it was not bound")
    fed = await laundry(world, *again)

    async def whole() -> bool:
        left = await unhandled(world)
        if left:
            # Some may have been excused by what waited. Whether that fed them the history says then.
            await laundry(world, *again)
        return left is not None and not left

    return [
        Observation("the missing binding is in the metrics", alarmed),
        Observation("uploads got their 201", accepts),
        Observation(
            "laundry topology verify names it", QUEUE in verified.stdout and verified.returncode == 1
        ),
        Observation("laundry topology apply restores it", applied.returncode == 0),
        Observation(f"laundry history finds {len(missed or ())} readings that had no effect", bool(missed)),
        Observation("laundry replay feeds them", fed.returncode == 0),
        Observation("then none is left", await world.eventually(whole, COMMAND_S, every_s=1)),
    ]


FAULTS = (
    Fault(
        "lost-binding", "messages", "told within seconds; the history has what passed by", lost, soak=False
    ),
)
