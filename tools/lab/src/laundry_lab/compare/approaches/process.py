"""The processes of a design: ``python -m laundry_lab.compare.approaches.process`` is a producer or a worker.

It reads its order from standard input, and ends when that does. What it tells is told at once, as lines: what
was answered must be known of a process that is killed in the next moment.
"""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import uvloop

from laundry_events.ids import new_id
from laundry_lab.bench.workers import LINE_BYTES
from laundry_lab.compare.approaches.design import NotAccepted, Producer, make_producer, make_worker
from laundry_lab.compare.approaches.transport import Pacer, Taken, way_of
from laundry_lab.compare.approaches.work import Effect, Work, photo_event
from laundry_service.telemetry.logging import configure_logging


def say(what: str, **more: Any) -> None:
    """Tell the measuring process."""
    sys.stdout.write(json.dumps({"said": what, **more}) + "\n")
    sys.stdout.flush()


async def produce(order: dict[str, Any], lines: asyncio.StreamReader) -> None:
    """Be the helper, and its phones: each further line is a load."""
    producer = make_producer(order)
    await producer.start()
    say("ready")
    while line := await lines.readline():
        await _load(producer, json.loads(line))
        say("loaded")
    await producer.stop()


async def _load(producer: Producer, load: dict[str, Any]) -> None:
    """Submit photos when they are due; without ``due`` a number of them, as fast as lanes go."""
    work, at = load["work"], load["at"]

    async def submit(due: float) -> None:
        photo = photo_event(new_id(), work)
        try:
            await producer.submit(photo)
        except NotAccepted as error:
            say("refused", id=photo.task_id, due=due, at=time.monotonic(), why=str(error)[:200])
        else:
            say("answered", id=photo.task_id, due=due, at=time.monotonic())

    if load.get("due") is not None:
        async with asyncio.TaskGroup() as running:
            for offset in load["due"]:
                await asyncio.sleep(max(0.0, at + offset - time.monotonic()))
                running.create_task(submit(at + offset))
        return
    left = iter(range(load["number"]))

    async def lane() -> None:
        for _ in left:
            await submit(time.monotonic())

    async with asyncio.TaskGroup() as lanes:
        for _ in range(load["lanes"]):
            lanes.create_task(lane())


async def work(order: dict[str, Any], lines: asyncio.StreamReader) -> None:
    """Be one of the workers."""

    def committed(effect: Effect, at: float) -> None:
        say("done", id=effect.task_id, received=effect.received_at, at=at)

    picture = Path(order["picture"]) if order["picture"] else None
    working = Work(order["worker"], picture, committed)
    await working.warm_up()
    worker = make_worker(order, working)
    await worker.start()
    say("ready")
    await lines.read()
    await worker.stop()


async def send(order: dict[str, Any], _: asyncio.StreamReader) -> None:
    """Send messages that nothing is done with."""
    say("ready")
    await way_of(order).send(order["addresses"], Pacer(order["number"], order["pause_s"]))
    say("sent")


async def take(order: dict[str, Any], _: asyncio.StreamReader) -> None:
    """Take messages until all have come, and say how long each took."""
    taken = Taken(order["number"])
    taking = asyncio.create_task(way_of(order).take(order["addresses"], taken))
    await taken.ready.wait()
    say("ready")
    await taking
    say("taken", seconds=taken.seconds, rate=taken.rate)


async def main() -> None:
    """Read the order and play the part."""
    lines = asyncio.StreamReader(limit=LINE_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    order = json.loads(await lines.readline())
    configure_logging("compare", "CRITICAL")
    roles = {"producer": produce, "worker": work, "send": send, "take": take}
    await roles[order["role"]](order, lines)


if __name__ == "__main__":
    # The loop that the services run on.
    uvloop.run(main())
