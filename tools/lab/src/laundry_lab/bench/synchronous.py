"""The synchronous design, without a broker: an upload is answered once its photo is read and registered."""

import asyncio
import functools
import socket
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import asyncpg
import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from laundry_lab.bench import bare_reading
from laundry_lab.bench.pictures import multipart
from laundry_lab.bench.scratch import scratch_space
from laundry_lab.bench.stage import NotMeasured, Stage
from laundry_lab.bench.workers import worker
from laundry_lab.sender import sender_to
from laundry_servers.ports import free_port

TABLE = "CREATE TABLE upload (id uuid PRIMARY KEY, key text NOT NULL, labels text NOT NULL)"
INSERT = "INSERT INTO upload (id, key, labels) VALUES ($1, $2, $3)"
READERS = 3


@asynccontextmanager
async def synchronous(
    stage: Stage, photo: Callable[[], bytes], *, lanes: int
) -> AsyncIterator[Callable[[int], Awaitable[float]]]:
    """Start it: one process takes uploads and three read, as in the stack.

    In its favour: it authenticates nobody, looks at no photo before it is read, and keeps no events.

    Yields:
        what uploads so many photos from ``lanes`` clients, and returns how many were answered a second.
    """
    port, store = free_port(), stage.document["s3"]
    async with scratch_space(stage) as scratch:
        order = {"port": port, "database_url": scratch.database_url, "store": store, "prefix": stage.run}
        async with (
            worker("synchronous", **order) as service,
            sender_to(f"http://127.0.0.1:{port}") as sender,
        ):

            async def lane(numbers: Iterator[int]) -> None:
                for _ in numbers:
                    body, content_type = multipart(photo(), "bench")
                    answer = await sender.post("/tasks", body, {"Content-Type": content_type})
                    if answer.status != 201:
                        raise NotMeasured(f"the synchronous design answered {answer.status}")

            async def upload(number: int) -> float:
                left, began = iter(range(number)), time.perf_counter()
                await asyncio.gather(*(lane(left) for _ in range(lanes)))
                return number / (time.perf_counter() - began)

            await upload(4 * lanes)
            yield upload
            await service.end()
        await asyncio.to_thread(forget, store, f"bench/{stage.run}/")


async def serve(order: dict[str, Any], end: asyncio.Event, ready: Callable[[], None]) -> None:
    """Serve until the end. Runs in a process of its own, and reads in others."""
    loop, model, store = asyncio.get_running_loop(), bare_reading.model_file(), order["store"]

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with asyncpg.create_pool(order["database_url"], min_size=8, max_size=8) as app.state.database:
            await app.state.database.execute(TABLE)
            with ProcessPoolExecutor(READERS, mp_context=get_context("spawn")) as app.state.readers:
                yield

    async def submit(request: Request) -> Response:
        async with request.form() as form:
            file = form["photo"]
            assert isinstance(file, UploadFile)
            photo = await file.read()
        task, key = uuid.uuid4(), f"bench/{order['prefix']}/{uuid.uuid4()}.jpg"
        labels = await loop.run_in_executor(app.state.readers, work, store, model, key, photo)
        await app.state.database.execute(INSERT, task, key, labels)
        return JSONResponse({"id": str(task), "labels": labels}, status_code=201)

    app = Starlette(routes=[Route("/tasks", submit, methods=["POST"])], lifespan=lifespan)
    config = uvicorn.Config(app, port=order["port"], log_config=None, access_log=False)

    class Telling(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready()

    server = Telling(config)
    serving = asyncio.create_task(server.serve())
    await end.wait()
    server.should_exit = True
    await serving


def work(store: dict[str, Any], model: Path, key: str, photo: bytes) -> str:
    """Store and read one photo. Runs in a process of its own."""
    _client(tuple(sorted(store.items()))).put_object(
        Bucket=store["bucket"], Key=key, Body=photo, ContentType="image/jpeg"
    )
    return repr(bare_reading.read_one(model, photo))


def forget(store: dict[str, Any], prefix: str) -> None:
    """Delete what was stored."""
    client = _client(tuple(sorted(store.items())))
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=store["bucket"], Prefix=prefix):
        for found in page.get("Contents", []):
            client.delete_object(Bucket=store["bucket"], Key=found["Key"])


@functools.cache
def _client(store: tuple[tuple[str, str], ...]) -> Any:
    return bare_reading.boto_client(dict(store))
