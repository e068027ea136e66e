"""PostgreSQL and S3: down, restarted, slow, or answering with errors."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx

from laundry_lab.faults.dead_letters import dead_letters
from laundry_lab.faults.messages import opened_channel, publish, tapped
from laundry_lab.faults.world import Fault, NotHere, Observation, World

AWAY_S = 8.0
# Longer than all retries take: whoever retries instead of holding has dead letters by then.
DATABASE_AWAY_S = 26.0
SLOW_S = 12.0
BACK_S = 30.0
# Each lost connection counts as a delivery of what was held: enough of them would bury it. The broker's list
# of connections, by which they are found, is up to five seconds old.
FLAPS, FLAPS_WITHIN_S = 3, 20.0


async def postgres_away(world: World) -> list[Observation]:
    """Keep PostgreSQL dead for a while: readings that come in the meantime are held, not given up."""
    # No photo can be registered without it, so no new reading would come: the earlier ones come once more.
    readings = await tapped(world, ("task.read",), 10)
    died = len(await dead_letters(world.stage))
    holding = asyncio.create_task(world.hold_down(["postgres"], DATABASE_AWAY_S))
    await asyncio.sleep(1)
    async with opened_channel(world) as channel:
        for each in readings:
            await publish(channel, "task.read", each.body, each.headers, each.message_id or "")

    async def paused() -> bool:
        return await world.metric("helper", 'laundry_consumer_paused{dependency="postgresql"}') > 0

    held = await world.eventually(paused, DATABASE_AWAY_S)
    cut = await world.cut("helper", times=FLAPS, within_s=FLAPS_WITHIN_S)
    await holding
    again = await world.reads_on(BACK_S)
    return [
        Observation(f"{len(readings)} readings that came in the meantime were held", held),
        Observation(f"its reader's connection was cut {cut} times", cut >= FLAPS),
        again,
        Observation("nothing died of it", len(await dead_letters(world.stage)) <= died),
    ]


async def postgres_restarted(world: World) -> list[Observation]:
    """Restart PostgreSQL as an administrator does: connections are closed at once."""
    world.send(signal.SIGINT, "postgres")
    return [await world.reads_on(BACK_S)]


async def postgres_slow(world: World) -> list[Observation]:
    """Let PostgreSQL run a tenth of the time."""
    await world.slow_down("postgres", SLOW_S)
    accepts = await world.accepts(BACK_S)
    return [Observation("uploads were accepted", accepts)]


async def objects_away(world: World) -> list[Observation]:
    """Keep the object store dead for a while: photos in the queue are held, not given up."""
    retried = await _retried(world)
    holding = asyncio.create_task(world.hold_down(["s3"], AWAY_S))
    await asyncio.sleep(1)
    cut = await world.cut("ai-consumer", times=3 * FLAPS, within_s=AWAY_S - 2)
    await holding
    again = await world.reads_on(BACK_S)
    return [
        again,
        Observation(f"readers' connections were cut {cut} times", cut >= FLAPS),
        Observation("no photo was retried", await _retried(world) == retried),
    ]


async def objects_slow(world: World) -> list[Observation]:
    """Let the object store run a tenth of the time."""
    await world.slow_down("s3", SLOW_S)
    return [await world.reads_on(BACK_S)]


async def objects_failing(world: World) -> list[Observation]:
    """Answer 500 to everything in the object store's place."""
    address = httpx.URL(world.stage.document["s3"]["endpoint_url"])
    async with _failing(world, address.host, address.port or 80) as answered:
        await asyncio.sleep(AWAY_S)
    again = await world.reads_on(BACK_S)
    return [
        Observation(f"{len(answered)} requests were answered 500", bool(answered)),
        again,
    ]


@asynccontextmanager
async def _failing(world: World, host: str, port: int) -> AsyncIterator[list[int]]:
    answered: list[int] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            async with asyncio.timeout(10):
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = next(
                    (int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:")), 0
                )
                await reader.readexactly(length)
                answered.append(500)
                writer.write(
                    b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )
                await writer.drain()
        writer.close()

    server = None
    for _ in range(200):
        world.kill("s3")
        with suppress(OSError):
            server = await asyncio.start_server(answer, host, port, limit=2**20)
            break
        await asyncio.sleep(0.02)
    if server is None:
        raise NotHere(f"port {port} could not be had")
    try:
        yield answered
    finally:
        server.close()
        await server.wait_closed()


async def _retried(world: World) -> int:
    """Return how many photos have been sent to a retry queue so far."""
    found = await world.management("/api/queues/laundry?columns=name,message_stats.publish")
    return sum(
        (each.get("message_stats") or {}).get("publish", 0)
        for each in found
        if each["name"].startswith("task.submitted.") and "retry" in each["name"]
    )


FAULTS = (
    Fault("postgres-away", "servers", "nothing is promised; everything resumes afterwards", postgres_away),
    Fault("postgres-restart", "servers", "reconnected within seconds", postgres_restarted),
    Fault("postgres-slow", "servers", "slower, nothing lost", postgres_slow),
    Fault("s3-away", "servers", "photos are held, none is retried", objects_away),
    Fault("s3-slow", "servers", "slower, nothing lost", objects_slow),
    Fault("s3-500", "servers", "photos are held or retried, none lost", objects_failing, soak=False),
)
