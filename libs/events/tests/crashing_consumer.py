"""A consumer that a poisonous message kills, started again as a cluster would: run by ``test_poison.py``.

Forked rather than started as a new program, so that twenty deaths take seconds.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from laundry_events import EventConsumer, EventMeta, Publisher, make_broker
from laundry_events.events import TaskRead
from laundry_events.topology import PLAN


async def consume(url: str, done: Path, prefetch: int) -> None:
    publisher = Publisher(url, source="crashing")
    await publisher.wait_connected()
    broker = make_broker(url, service="crashing", graceful_timeout_s=2)
    consumer = EventConsumer(broker, publisher, PLAN, service="crashing", service_version="1")

    @consumer.on("task.read", TaskRead, prefetch=prefetch)
    async def handle(event: TaskRead, meta: EventMeta) -> None:
        if event.task_id.startswith("poison"):
            os.kill(os.getpid(), signal.SIGKILL)
        # Long enough that what was taken together is in flight together.
        await asyncio.sleep(0.05)
        with done.open("a") as file:
            file.write(event.task_id + "\n")

    await broker.start()
    await asyncio.sleep(120)


def main() -> int:
    """Start consumers until one ends by itself (it was asked to, or nothing came for two minutes)."""
    url, done, prefetch = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    while True:
        child = os.fork()
        if child == 0:
            asyncio.run(consume(url, done, prefetch))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            return 0
        print("died", flush=True)


if __name__ == "__main__":
    sys.exit(main())
