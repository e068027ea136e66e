"""Processes killed at the worst moment, and rolling updates."""

import asyncio
import hashlib
import secrets
from contextlib import suppress

import httpx

from laundry.demo.photos import unique
from laundry.stack.restart import restart
from laundry.stack.watch import LONGEST_DELAY_SECONDS
from laundry_catalogue import process_names
from laundry_lab.bench.pictures import multipart, small_photos
from laundry_lab.faults.clocks import with_clock
from laundry_lab.faults.tools import FAKETIME
from laundry_lab.faults.world import CONSUMERS, Fault, NotHere, Observation, World

SLOW_DELETE = """
CREATE FUNCTION faults_wait() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_sleep(10); RETURN NULL; END $$;
CREATE TRIGGER faults_wait BEFORE DELETE ON outbox FOR EACH STATEMENT EXECUTE FUNCTION faults_wait();
"""
DELETES_QUICKLY = "DROP TRIGGER IF EXISTS faults_wait ON outbox; DROP FUNCTION IF EXISTS faults_wait()"
DELETING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND state = 'active' AND query LIKE 'DELETE FROM outbox%'
"""


READ_ON_S = 30
"""For five photos: readers give way to all else that the machine does, the two others, too."""
RESUMES_S = LONGEST_DELAY_SECONDS + 15
"""Longest pause before a start, and time for three readers to start at once on few cores."""


async def one_consumer(world: World) -> list[Observation]:
    """Kill one of three readers."""
    world.kill(CONSUMERS[0])
    return [await world.reads_on(READ_ON_S)]


async def all_consumers(world: World) -> list[Observation]:
    """Keep every reader dead for a minute."""
    holding = asyncio.create_task(world.hold_down(CONSUMERS, 60))
    await asyncio.sleep(2)
    accepts = await world.accepts(20)
    await holding
    # A process that dies again and again is started ever later, as a cluster would do.
    return [Observation("uploads still got their 201", accepts), await world.reads_on(RESUMES_S)]


async def relay(world: World) -> list[Observation]:
    """Kill the relay after it published and before it marked the rows as sent."""
    await world.execute("helper", DELETES_QUICKLY)
    await world.execute("helper", SLOW_DELETE)
    try:
        caught = await world.eventually(lambda: world.database("helper", DELETING), 10, every_s=0.02)
        world.kill("helper")
    finally:
        await world.execute("helper", DELETES_QUICKLY)
    killed = Observation("the relay was killed between publishing and marking", caught)
    return [killed, await world.reads_on(20)]


async def unanswered(world: World) -> list[Observation]:
    """Kill the helper after a commit whose answer nobody reads; the phone then sends the photo again."""
    photo = unique((await asyncio.to_thread(small_photos))[0])
    mark = hashlib.sha256(photo).hexdigest()
    upload = world.load.ledger.asked(f"unanswered-{secrets.token_hex(8)}")
    body, content_type = multipart(photo, world.load.branch)
    headers = {
        **world.stage.headers("helper", world.load.branch),
        "Content-Type": content_type,
        "Content-Length": str(len(body)),
        "Idempotency-Key": upload.key,
        "Host": "helper",
    }
    url = httpx.URL(world.stage.document["helper_url"])
    reader, writer = await asyncio.open_connection(url.host, url.port)
    try:
        head = "POST /tasks HTTP/1.1\r\n" + "".join(f"{key}: {value}\r\n" for key, value in headers.items())
        writer.write(head.encode() + b"\r\n" + body)
        await writer.drain()
        query = "SELECT id FROM tasks WHERE photo_sha256 = $1"
        committed = await world.eventually(lambda: world.database("helper", query, mark), 10, every_s=0.005)
        world.kill("helper")
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        del reader
    first = await world.database("helper", query, mark)
    async with world.stage.client("helper") as client:
        async with asyncio.timeout(60):
            await world.load.finish(client, upload, photo)
    return [
        Observation("killed after the commit", committed),
        Observation("sent again, it was the same task", str(first) == upload.task_id),
    ]


async def rolling_restart(world: World) -> list[Observation]:
    """Update every service process, one after another."""
    names = [name for name in process_names() if name in world.pids]
    before = world.pids
    for name in names:
        await asyncio.to_thread(restart, world.stage.paths, name)
    after = world.pids
    return [Observation(f"{len(names)} processes replaced", all(before[n] != after[n] for n in names))]


async def clocks(world: World) -> list[Observation]:
    """Set two readers' clocks ten minutes apart from everybody else's, one ahead and one behind."""
    if not FAKETIME.there():
        raise NotHere("libfaketime is missing (apt-get install faketime)")
    async with (
        with_clock(world, CONSUMERS[0], "+10m") as ahead,
        with_clock(world, CONSUMERS[1], "-10m") as behind,
    ):
        took = await world.progress(15, more=20)
    return [
        Observation("two readers had another clock", ahead and behind),
        Observation("photos were read all the while", took is not None),
    ]


FAULTS = (
    Fault("consumer-kill", "processes", "the others read on; the broker redelivers", one_consumer),
    Fault("all-consumers-kill", "processes", "uploads get 201; the queue waits", all_consumers, soak=False),
    Fault("relay-kill", "processes", "published again, one effect", relay, soak=False),
    Fault("helper-kill", "processes", "the same key gives the same task", unanswered),
    Fault("rolling-restart", "processes", "each finishes what it has begun", rolling_restart, soak=False),
    Fault("clocks-apart", "processes", "no order depends on a clock", clocks, soak=False, tools=(FAKETIME,)),
)
