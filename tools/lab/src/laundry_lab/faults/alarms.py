"""Resource alarms: the broker takes nothing more until it has room again."""

import asyncio

import httpx

from laundry_lab.faults.world import Fault, Observation, World

ALARM_S = 8.0
RESTARTED_S = 60.0


async def _alarm(world: World, raise_it: tuple[str, ...], end_it: tuple[str, ...]) -> list[Observation]:
    # On one node; the alarm blocks publishers on every node.
    broker = world.brokers[0]
    try:
        await world.rabbitmqctl(broker, *raise_it)
        blocked = await world.eventually(lambda: _blocked(world), 10)
        accepts = await world.accepts(ALARM_S)
        seen = await world.metric("helper", "laundry_publisher_blocked{") + await world.metric(
            "helper", "laundry_publisher_blocked "
        )
        await asyncio.sleep(1)
    finally:
        await world.rabbitmqctl(broker, *end_it)
    again = await world.reads_on(30)
    return [
        Observation("publishers were blocked", blocked),
        Observation("the helper's metrics said so", seen > 0),
        Observation("uploads still got their 201", accepts),
        again,
    ]


async def _blocked(world: World) -> bool:
    # What the nodes tell of themselves (/api/nodes) is seconds old, sometimes more than ten.
    try:
        await world.management("/api/health/checks/alarms")
    except httpx.HTTPStatusError as refused:
        return bool(refused.response.json().get("alarms"))
    return False


async def memory(world: World) -> list[Observation]:
    """Set the memory limit below what the broker uses."""
    return await _alarm(
        world, ("set_vm_memory_high_watermark", "absolute", "10MB"), ("set_vm_memory_high_watermark", "0.6")
    )


async def disk(world: World) -> list[Observation]:
    """Demand more free disk than there is."""
    return await _alarm(world, ("set_disk_free_limit", "100000000000000"), ("set_disk_free_limit", "200MB"))


async def restarted(world: World) -> list[Observation]:
    """Kill every node while an alarm of its memory blocks all who publish."""
    await world.rabbitmqctl(world.brokers[0], "set_vm_memory_high_watermark", "absolute", "10MB")
    blocked = await world.eventually(lambda: _blocked(world), 10)
    # Who has published since is told that it is blocked.
    accepts = await world.accepts(ALARM_S)
    world.kill(*world.brokers)
    again = await world.reads_on(RESTARTED_S, after=" the nodes died")
    return [
        Observation("publishers were blocked", blocked),
        Observation("uploads still got their 201", accepts),
        again,
    ]


FAULTS = (
    Fault("memory-alarm", "alarms", "uploads get 201; blocked is visible", memory),
    Fault("disk-alarm", "alarms", "uploads get 201; blocked is visible", disk),
    Fault("alarm-restart", "alarms", "everybody who was blocked publishes again", restarted),
)
