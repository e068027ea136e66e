"""A reader that is taken away while it reads, as an autoscaler does: SIGTERM to a process of its own."""

import asyncio
import signal
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from laundry_events import Publisher
from laundry_events.events import TaskRead, TaskSubmitted
from laundry_service.storage.object_store import ObjectStore
from laundry_testing.identity import FileIdentity
from laundry_testing.messaging import Messaging, eventually
from laundry_testing.models import KEY, photo_of, ship
from laundry_testing.plugin import Bucket
from laundry_testing.processes import START_S, ServiceProcess, ServiceProcesses

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

PHOTOS = 40
# The chart's terminationGracePeriodSeconds.
GRACE_S = 60.0
Start = Callable[[], ServiceProcess]


@pytest.fixture
def start(
    messaging: Messaging, bucket: Bucket, identity: FileIdentity, processes: ServiceProcesses, tmp_path: Path
) -> Start:
    ship(tmp_path / "models", "shipped-1")
    return partial(
        processes.start,
        "ai_consumer",
        amqp_url=messaging.amqp_url,
        model_dir=tmp_path / "models",
        model_public_keys=KEY.public.text,
        **bucket.settings,
        **identity.settings,
    )


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
    goes = start().process
    first = await messaging.take("task.read", within_s=START_S)
    # It is reading: one is told, and far more wait than it takes at a time.
    goes.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(goes.wait, GRACE_S) == 0
    told = [first]

    async def all_accounted_for() -> bool:
        for _ in range(await messaging.count("task.read")):
            told.append(await messaging.take("task.read"))
        return len(told) + await messaging.count("task.submitted") == PHOTOS

    # What it did not tell is in the queue again, before anybody else looks.
    await eventually(all_accounted_for, what="every photo, told or in the queue")
    waiting = PHOTOS - len(told)
    assert waiting, "it had read everything before it was asked to go"

    await start().ready()
    told += [await messaging.take("task.read", within_s=START_S) for _ in range(waiting)]
    assert await messaging.count("task.read") == 0
    readings = [TaskRead.model_validate_json(message.body) for message in told]
    assert Counter(reading.task_id for reading in readings) == Counter(tasks)
    assert {reading.outcome for reading in readings} == {"read"}
    for queue in ("task.submitted", "task.submitted.retry.1s", "task.submitted.dlq"):
        assert await messaging.count(queue) == 0
