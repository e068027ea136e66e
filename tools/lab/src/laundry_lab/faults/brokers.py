"""Broker nodes that die, one or all of them."""

import asyncio
import signal
from functools import partial
from typing import Any

from laundry_lab.faults.messages import set_aside
from laundry_lab.faults.world import Fault, Observation, World

RESUME_S = 30.0
ALL_BACK_S = 60.0
"""For a broker that has to start first."""

BAD: list[tuple[str, bytes, dict[str, Any]]] = [("task.submitted", b"{no event", {})] * 12
"""Some for each reader: what it sets aside goes over a connection that it opens for the first of them."""


async def leader(world: World) -> list[Observation]:
    """Kill the node that leads task.submitted."""
    await set_aside(world, BAD)
    name = await world.leader("task.submitted")
    world.kill(name)
    # The only node has no follower: it has to start again.
    within_s = RESUME_S if len(world.brokers) > 1 else ALL_BACK_S
    return [await world.reads_on(within_s, after=f" {name} died"), await _sets_aside(world)]


async def rolling(world: World) -> list[Observation]:
    """Restart the nodes one after another, as an upgrade does."""
    observed = []
    for name in world.brokers:
        before = world.pid(name)
        world.send(signal.SIGTERM, name)
        gone = await world.eventually(partial(_other, world, name, before), 30)
        await world.healthy()
        observed.append(Observation(f"{name} restarted", gone))
    return observed


async def _other(world: World, name: str, before: int) -> bool:
    return world.pids.get(name, before) != before


async def majority(world: World) -> list[Observation]:
    """Take two of three nodes away for 15 seconds: no queue has a majority."""
    holding = asyncio.create_task(world.hold_down(world.brokers[:2], 15))
    await asyncio.sleep(3)
    accepts = await world.accepts(10)
    await holding
    accepted = Observation("uploads got their 201 without a broker", accepts)
    return [accepted, await world.reads_on(ALL_BACK_S, after=" they came back")]


async def every(world: World) -> list[Observation]:
    """Kill every node at once."""
    await set_aside(world, BAD)
    world.kill(*world.brokers)
    accepts = await world.accepts(15)
    accepted = Observation("uploads still got their 201", accepts)
    return [accepted, await world.reads_on(ALL_BACK_S), await _sets_aside(world)]


async def _sets_aside(world: World) -> Observation:
    await world.healthy()
    return Observation("what cannot be read was set aside again", await set_aside(world, BAD) is not None)


FAULTS = (
    Fault("leader-kill", "brokers", "a follower leads within seconds", leader, kills=True),
    Fault("rolling-brokers", "brokers", "nobody notices", rolling, minimum_nodes=3, soak=False),
    Fault("majority-gone", "brokers", "uploads get 201; all goes on after", majority, minimum_nodes=3),
    Fault("all-brokers-kill", "brokers", "uploads get 201; everything resumes afterwards", every, kills=True),
)
