"""A reader that is taken away while it reads, as an autoscaler does: SIGTERM to a process of its own."""

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from laundry_events import Publisher
from laundry_events.events import TaskRead, TaskSubmitted
from laundry_servers.ports import free_port
from laundry_service.storage.object_store import ObjectStore
from laundry_testing.identity import FileIdentity
from laundry_testing.messaging import Messaging, eventually
from laundry_testing.models import KEY, photo_of, ship
from laundry_testing.plugin import Bucket

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

PHOTOS = 40
START_S = 90.0
# The chart's terminationGracePeriodSeconds.
GRACE_S = 60.0
Start = Callable[[], tuple["subprocess.Popen[bytes]", str]]


@pytest_asyncio.fixture
async def start(
    messaging: Messaging, bucket: Bucket, identity: FileIdentity, tmp_path: Path
) -> AsyncIterator[Start]:
    """Start ``python -m ai_consumer``; whatever still runs is killed at the end."""
    ship(tmp_path / "models", "shipped-1")
    environment = {
        **os.environ,
        "LAUNDRY_AMQP_URL": messaging.amqp_url,
        "LAUNDRY_S3_ENDPOINT_URL": bucket.store.endpoint_url,
        "LAUNDRY_S3_BUCKET": bucket.name,
        "LAUNDRY_S3_ACCESS_KEY": bucket.store.access_key,
        "LAUNDRY_S3_SECRET_KEY": bucket.store.secret_key,
        "LAUNDRY_MODEL_DIR": str(tmp_path / "models"),
        "LAUNDRY_MODEL_PUBLIC_KEYS": KEY.public.text,
        **{f"LAUNDRY_{name.upper()}": str(value) for name, value in identity.settings.items()},
    }
    started: list[subprocess.Popen[bytes]] = []

    def start() -> tuple["subprocess.Popen[bytes]", str]:
        port = free_port()
        with (tmp_path / f"{port}.log").open("wb") as output:
            running = subprocess.Popen(
                [sys.executable, "-m", "ai_consumer"],
                env={**environment, "LAUNDRY_PORT": str(port)},
                stdout=output,
                stderr=output,
            )
        started.append(running)
        return running, f"http://127.0.0.1:{port}"

    yield start
    for running in started:
        running.kill()
        await asyncio.to_thread(running.wait)


async def ready(url: str) -> bool:
    async with httpx.AsyncClient(timeout=5) as client:
        try:
            return (await client.get(f"{url}/readyz")).status_code == 200
        except httpx.HTTPError:
            return False


async def test_what_a_reader_held_when_it_was_scaled_down_is_read_once(
    start: Start,
    helper: Publisher,
    store: ObjectStore,
    messaging: Messaging,
    task_for: Callable[..., TaskSubmitted],
) -> None:
    tasks = []
    for number in range(PHOTOS):
        photo = photo_of("pants", seed=number, size=(1600, 1200))
        task = task_for(photo)
        await store.put(task.photo.key, photo, media_type="image/jpeg")
        await helper.publish(task)
        tasks.append(task.task_id)
    goes, _ = start()
    first = await messaging.take("task.read", within_s=START_S)
    # It is reading: one is told, and far more wait than it takes at a time.
    goes.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(goes.wait, GRACE_S) in {0, -signal.SIGTERM}
    told = [first]

    async def all_accounted_for() -> bool:
        for _ in range(await messaging.count("task.read")):
            told.append(await messaging.take("task.read"))
        return len(told) + await messaging.count("task.submitted") == PHOTOS

    # What it did not tell is in the queue again, before anybody else looks.
    await eventually(all_accounted_for, what="every photo, told or in the queue")
    waiting = PHOTOS - len(told)
    assert waiting, "it had read everything before it was asked to go"

    _, url = start()
    await eventually(lambda: ready(url), within_s=START_S, what="the reader that stays")
    told += [await messaging.take("task.read", within_s=START_S) for _ in range(waiting)]
    assert await messaging.count("task.read") == 0
    readings = [TaskRead.model_validate_json(message.body) for message in told]
    assert Counter(reading.task_id for reading in readings) == Counter(tasks)
    assert {reading.outcome for reading in readings} == {"read"}
    for queue in ("task.submitted", "task.submitted.retry.1s", "task.submitted.dlq"):
        assert await messaging.count(queue) == 0
