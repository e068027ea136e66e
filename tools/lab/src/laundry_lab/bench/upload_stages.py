"""The processor time of an upload, by what it is spent on."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx
import psutil

from laundry_catalogue import copies_of
from laundry_lab.bench.figures import Figure
from laundry_lab.bench.pictures import BYTES, Pictures
from laundry_lab.bench.stage import NotMeasured, Stage, client_of, suspended
from laundry_lab.bench.uploads import RATE, uploader
from laundry_lab.bench.workers import Worker, working
from laundry_lab.sender import Sender, sender_to
from laundry_servers.ports import free_port

SAMPLED = "laundry_lab.bench.sampled"
SERVICE = "helper"
CONSUMER = "ai-consumer"
NUMBER, WARM_UP = 600, 60
READY_S = 30.0
IDLE_SHARE = 0.5
GROUP = f"Processor time of an upload, {BYTES // 1000} KB, {RATE}/s"
HELPER, OTHERS = f"{GROUP}: helper", f"{GROUP}: other processes"
# What takes less is in the sum only.
LEAST_MS = 0.02
LATER_S = 0.5

# Processor seconds of the sampled helper's stages and of other processes, by group and name.
Used = Mapping[tuple[str, str], float]


async def measure(stage: Stage) -> list[Figure]:
    """Upload to a further helper that is sampled, while the stack's own and the readers stand still."""
    pictures = await asyncio.to_thread(Pictures)
    # At any scale: the broker gives up who stands still for 20 s.
    number = stage.many(NUMBER, least=20, grows=False)
    others = [
        pid
        for name, pid in stage.document["pids"].items()
        if name in copies_of(SERVICE) or name.startswith(CONSUMER)
    ]
    async with _helper(stage) as (helper, sender):
        await _upload(stage, sender, pictures, stage.many(WARM_UP, least=8))
        async with suspended(others):
            began, before = time.monotonic(), await _used(stage, helper)
            await asyncio.sleep(IDLE_SHARE * number / RATE)
            idle, idle_s = _since(before, await _used(stage, helper)), time.monotonic() - began
            began, before = time.monotonic(), await _used(stage, helper)
            await _upload(stage, sender, pictures, number)
            # What is published and acknowledged a moment later belongs to it.
            await asyncio.sleep(LATER_S)
            used, used_s = _since(before, await _used(stage, helper)), time.monotonic() - began
    # Without what each takes when nothing happens.
    spent = {name: 1000 * (used[name] - idle[name] * used_s / idle_s) / number for name in used}
    return [figure for group in (HELPER, OTHERS) for figure in _figures(group, spent)]


def _since(before: Used, after: Used) -> Used:
    return {each: after[each] - before.get(each, 0.0) for each in after}


def _figures(group: str, spent: Mapping[tuple[str, str], float]) -> list[Figure]:
    """The largest first."""
    found = sorted(((ms, name) for (of, name), ms in spent.items() if of == group), reverse=True)
    return [
        *(Figure(group, name, ms, "ms") for ms, name in found if ms >= LEAST_MS),
        Figure(group, "all", sum(ms for ms, _ in found), "ms"),
    ]


@asynccontextmanager
async def _helper(stage: Stage) -> AsyncIterator[tuple[Worker, Sender]]:
    """A further helper, with the settings of the one that runs."""
    port = free_port()
    try:
        environment = psutil.Process(stage.document["pids"][SERVICE]).environ()
    except psutil.Error as error:
        raise NotMeasured(f"upload stages: the settings of {SERVICE} cannot be read: {error}") from error
    environment |= {"LAUNDRY_PORT": str(port), "LAUNDRY_METRICS_PORT": str(free_port())}
    async with (
        working(SAMPLED, {"package": SERVICE}, environment={**os.environ, **environment}) as helper,
        client_of(f"http://127.0.0.1:{port}") as client,
        sender_to(f"http://127.0.0.1:{port}") as sender,
    ):
        end = time.monotonic() + READY_S
        while not await _is_ready(client):
            if time.monotonic() > end or not helper.running:
                raise NotMeasured(f"upload stages: a further {SERVICE} is not ready after {READY_S:.0f} s")
            await asyncio.sleep(0.1)
        yield helper, sender


async def _is_ready(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/readyz")).is_success
    except httpx.TransportError:
        return False


async def _upload(stage: Stage, sender: Sender, pictures: Pictures, number: int) -> None:
    once = uploader(stage, sender, pictures)
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for each in range(number):
            await asyncio.sleep(max(0.0, began + each / RATE - time.perf_counter()))
            group.create_task(once())


async def _used(stage: Stage, helper: Worker) -> Used:
    helper.tell()
    told: dict[str, float] = (await helper.hear("used"))["stages"]
    names = (
        name
        for name in stage.document["pids"]
        if name not in copies_of(SERVICE) and not name.startswith(CONSUMER)
    )
    return {
        **{(HELPER, name): seconds for name, seconds in told.items()},
        **{(OTHERS, name): stage.processor_s(name) for name in names},
        (OTHERS, "this client"): time.process_time(),
    }
