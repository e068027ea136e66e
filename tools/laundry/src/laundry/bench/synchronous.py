"""The design without a broker: an upload is answered when its photo is stored, registered and read."""

import asyncio
import functools
import os
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import asyncpg
import boto3
from botocore.config import Config

from laundry.bench import bare_reading
from laundry.bench.ground import own_ground
from laundry.bench.stage import Stage

TABLE = "CREATE TABLE upload (id uuid PRIMARY KEY, key text NOT NULL, labels text NOT NULL)"
INSERT = "INSERT INTO upload (id, key, labels) VALUES ($1, $2, $3)"


async def measure(stage: Stage, photo: Callable[[], bytes], number: int, *, lanes: int) -> float:
    """Answer ``number`` uploads from ``lanes`` clients. Returns how many a second.

    In its favour: no HTTP around it, and two processes for each core, so that none waits while one stores.
    """
    advance = stage.say("load levelling: the synchronous design", number)
    loop, cores = asyncio.get_running_loop(), os.cpu_count() or 1
    model, store = bare_reading.model_file(), stage.document["s3"]
    async with own_ground(stage) as ground:
        pool = await asyncpg.create_pool(ground.database_url, min_size=lanes, max_size=lanes)
        await pool.execute(TABLE)
        with ProcessPoolExecutor(2 * cores, mp_context=get_context("spawn")) as workers:

            async def one() -> None:
                key = f"bench/{stage.run}/{uuid.uuid4()}.jpg"
                labels = await loop.run_in_executor(workers, work, store, model, key, photo())
                await pool.execute(INSERT, uuid.uuid4(), key, labels)

            await asyncio.gather(*(one() for _ in range(8 * cores)))
            left = iter(range(number))

            async def lane() -> None:
                for _ in left:
                    await one()
                    advance(1)

            began = time.perf_counter()
            await asyncio.gather(*(lane() for _ in range(lanes)))
            took = time.perf_counter() - began
            await loop.run_in_executor(workers, forget, store, f"bench/{stage.run}/")
        await pool.close()
    return number / took


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
    values = dict(store)
    return boto3.client(
        "s3",
        endpoint_url=values["endpoint_url"],
        aws_access_key_id=values["access_key"],
        aws_secret_access_key=values["secret_key"],
        region_name="us-east-1",
        config=Config(
            connect_timeout=5,
            read_timeout=20,
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
