"""From the broker to the broker, with a real object store and a real model file."""

import hashlib
import io
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from ai_consumer.reading import reading_id
from laundry_events import NoAnswer, Publisher, Requester
from laundry_events.circuit_breaker import PAUSED
from laundry_events.envelope import encode
from laundry_events.events import TaskRead, TaskSubmitted
from laundry_events.previews import BRANCH_HEADER, PREVIEW_QUEUE, Preview
from laundry_reading.photo import MAX_BYTES
from laundry_service.storage.object_store import ObjectStore
from laundry_testing.messaging import Messaging, eventually
from laundry_testing.models import colour_model, photo_of
from laundry_testing.serving import metrics_text, ready

from .test_champion import crown

pytestmark = pytest.mark.servers

Replica = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
TaskFor = Callable[..., TaskSubmitted]

TASKS_DONE = 'laundry_events_consumed_total{outcome="ok",queue="task.submitted"}'


async def taken_reading(messaging: Messaging) -> tuple[TaskRead, str | None]:
    message = await messaging.take("task.read")
    return TaskRead.model_validate_json(message.body), message.message_id


async def test_a_photo_becomes_a_reading(
    replica: Replica, helper: Publisher, store: ObjectStore, messaging: Messaging, task_for: TaskFor
) -> None:
    photo = photo_of("pants")
    task = task_for(photo)
    await store.put(task.photo.key, photo, media_type="image/jpeg")
    async with replica():
        event_id = await helper.publish(task)
        read, read_id = await taken_reading(messaging)
        assert (read.task_id, read.outcome, read.labels[0].label) == (task.task_id, "read", "pants")
        assert read.model_version == "shipped-1"
        # Submitted once more, as after a crash before the acknowledgement: the same reading, by its id.
        await helper.publish(task, event_id=event_id)
        _, again_id = await taken_reading(messaging)
    assert read_id == again_id == reading_id(event_id)
    assert await messaging.count("task.submitted") == 0


async def test_a_photo_is_read_before_it_is_submitted_and_no_reading_is_told(
    replica: Replica, helper: Publisher, messaging: Messaging
) -> None:
    requester = Requester(helper, service="helper")
    await requester.start()

    async def preview(photo: bytes, **headers: str) -> Preview:
        answer = await requester.ask(
            PREVIEW_QUEUE, photo, headers=headers, content_type="image/jpeg", within_s=20 if headers else 1
        )
        return Preview.model_validate_json(answer)

    photo = photo_of("pants")
    async with replica():
        await eventually(lambda: requester.ready, what="a queue for answers")
        found = await preview(photo, **{BRANCH_HEADER: "b1"})
        assert (found.labels[0].label, found.model_version, found.unreadable_reason) == (
            "pants",
            "shipped-1",
            None,
        )
        broken = await preview(photo[:-2000], **{BRANCH_HEADER: "b1"})
        assert (broken.labels, broken.unreadable_reason) == ([], "truncated")
        with pytest.raises(NoAnswer):
            await preview(photo)
    await requester.stop()
    assert await messaging.count("task.read") == 0


async def test_photos_that_cannot_be_read_are_outcomes_and_no_retries(
    replica: Replica, helper: Publisher, store: ObjectStore, messaging: Messaging, task_for: TaskFor
) -> None:
    whole = photo_of("shoes")
    broken, swapped, missing = task_for(whole[:-2000]), task_for(photo_of("pants")), task_for(whole)
    oversized = task_for(whole)
    await store.put(broken.photo.key, whole[:-2000], media_type="image/jpeg")
    await store.put(swapped.photo.key, whole, media_type="image/jpeg")
    await store.put(oversized.photo.key, bytes(MAX_BYTES + 1), media_type="image/jpeg")
    async with replica():
        for task in (broken, swapped, missing, oversized):
            await helper.publish(task)
        readings = [(await taken_reading(messaging))[0] for _ in range(4)]
    assert all(read.outcome == "unreadable" and read.labels == [] for read in readings)
    assert {read.task_id: read.reason for read in readings} == {
        broken.task_id: "truncated",
        swapped.task_id: "photo_mismatch",
        missing.task_id: "photo_missing",
        oversized.task_id: "photo_mismatch",
    }
    assert await messaging.count("task.submitted.retry.1s") == 0
    assert await messaging.count("task.submitted.dlq") == 0


async def test_the_mix_of_guesses_that_alerts_watch_rises_with_what_is_read(
    replica: Replica, helper: Publisher, store: ObjectStore, messaging: Messaging, task_for: TaskFor
) -> None:
    photos = [photo_of("pants"), photo_of("pants", seed=1), photo_of("shoes")]
    unreadable = photo_of("t-shirt")[:-2000]
    async with replica() as client:
        before = await _samples(client)

        async def risen() -> dict[str, float]:
            now = await _samples(client)
            return {name: value - before.get(name, 0) for name, value in now.items()}

        async def handled() -> bool:
            # Guesses are counted after the reading is confirmed, which is before the message is done.
            return (await risen()).get(TASKS_DONE) == len(photos) + 1

        for photo in (*photos, unreadable):
            task = task_for(photo)
            await store.put(task.photo.key, photo, media_type="image/jpeg")
            await helper.publish(task)
        readings = [(await taken_reading(messaging))[0] for _ in range(len(photos) + 1)]
        await eventually(handled, what="the end of every message")
        rise = await risen()
    sure = [read.labels[0].confidence for read in readings if read.labels]
    assert rise['laundry_guesses_total{label="pants"}'] == 2
    assert rise['laundry_guesses_total{label="shoes"}'] == 1
    # What cannot be read has no first guess.
    assert rise.get('laundry_guesses_total{label="t-shirt"}', 0) == 0
    assert rise["laundry_guess_confidence_count"] == len(sure) == len(photos)
    assert rise["laundry_guess_confidence_sum"] == pytest.approx(sum(sure))


async def test_a_reader_with_time_makes_the_pictures_and_tells_them(
    replica: Replica, helper: Publisher, store: ObjectStore, messaging: Messaging, task_for: TaskFor
) -> None:
    photo = photo_of("pants", size=(2400, 1800))
    task = task_for(photo)
    await store.put(task.photo.key, photo, media_type="image/jpeg")
    async with replica():
        event_id = await helper.publish(task)
        read, _ = await taken_reading(messaging)
        assert read.pictures is not None
        for picture, longest in ((read.pictures.display, 1600), (read.pictures.thumbnail, 320)):
            assert picture.key.startswith(f"pictures/b1/{task.task_id}/{reading_id(event_id)}-")
            assert picture.key.endswith(".jpg")
            data = await store.get(picture.key, max_bytes=MAX_BYTES)
            assert (len(data), hashlib.sha256(data).hexdigest()) == (picture.bytes, picture.sha256)
            assert max(picture.width, picture.height) == longest
            assert Image.open(io.BytesIO(data)).size == (picture.width, picture.height)
        # Delivered again, as after a crash before the acknowledgement: the same pictures, none besides.
        await helper.publish(task, event_id=event_id)
        again, _ = await taken_reading(messaging)
    assert again.pictures == read.pictures
    assert len([key async for key, _ in store.listing("pictures/")]) == 2


async def test_in_a_rush_readings_come_first(
    replica: Replica, helper: Publisher, store: ObjectStore, messaging: Messaging, task_for: TaskFor
) -> None:
    photo = photo_of("shoes")
    tasks = [task_for(photo) for _ in range(6)]
    for task in tasks:
        await store.put(task.photo.key, photo, media_type="image/jpeg")
        await helper.publish(task)
    async with replica():
        readings = [(await taken_reading(messaging))[0] for _ in tasks]
    assert readings[0].pictures is None
    assert {read.task_id for read in readings} == {task.task_id for task in tasks}


async def test_a_store_that_takes_no_pictures_holds_up_no_reading(
    replica: Replica,
    helper: Publisher,
    store: ObjectStore,
    messaging: Messaging,
    task_for: TaskFor,
    door: Any,
) -> None:
    photo = photo_of("shoes")
    task = task_for(photo)
    await store.put(task.photo.key, photo, media_type="image/jpeg")
    door.refuses = b"PUT /"
    async with replica(s3_endpoint_url=door.url):
        await helper.publish(task)
        read, _ = await taken_reading(messaging)
    assert (read.outcome, read.pictures) == ("read", None)
    assert await messaging.count("task.submitted.retry.1s") == 0


def strange_messages(task: TaskSubmitted) -> dict[str, tuple[bytes, dict[str, Any], str]]:
    """Messages that are none of ours: body, headers, and the reason that their dead letter must carry."""
    good = encode(task, source="/helper")
    headers: dict[str, Any] = dict(good.headers)
    other = {**headers, "cloudEvents_type": "TaskShredded"}
    version = {**headers, "cloudEvents_dataschema": "urn:laundry:schema:TaskSubmitted:99"}
    partial = json.dumps({"task_id": "t"}).encode()
    return {
        "no headers": (good.body, {}, "malformed"),
        "malformed JSON": (b'{"task_id": ', headers, "malformed"),
        "incomplete": (partial, headers, "malformed"),
        "unknown type": (good.body, other, "unknown-event"),
        "unknown version": (good.body, version, "unknown-event"),
    }


async def test_strange_messages_go_to_the_dead_letters_and_the_consumer_goes_on(
    replica: Replica, helper: Publisher, store: ObjectStore, messaging: Messaging, task_for: TaskFor
) -> None:
    photo = photo_of("t-shirt")
    task = task_for(photo)
    await store.put(task.photo.key, photo, media_type="image/jpeg")
    strange = strange_messages(task)
    async with replica():
        for name, (body, headers, _) in strange.items():
            await messaging.publish_raw(
                "laundry.events", "task.submitted", body, headers=headers, message_id=name
            )
        dead = [await messaging.take("task.submitted.dlq") for _ in strange]
        await helper.publish(task)
        read, _ = await taken_reading(messaging)
    assert read.outcome == "read"
    assert {m.message_id: m.headers["x-dead-reason"] for m in dead} == {
        name: reason for name, (_, _, reason) in strange.items()
    }
    assert all(m.headers["x-attempts"] == 1 and m.headers["x-service"] == "ai-consumer" for m in dead)


async def test_while_the_object_store_is_away_photos_are_held_and_none_is_retried(
    replica: Replica,
    helper: Publisher,
    store: ObjectStore,
    messaging: Messaging,
    task_for: TaskFor,
    door: Any,
) -> None:
    photo = photo_of("shoes")
    task = task_for(photo)
    await store.put(task.photo.key, photo, media_type="image/jpeg")
    async with replica(s3_endpoint_url=door.url) as client:
        await ready(client)
        retried = await _retried(client)
        await door.close()
        PAUSED.labels("s3").set(0)  # whatever another test left
        await helper.publish(task)
        await eventually(lambda: _paused(client), what="the pause")
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/livez")).status_code == 200
        await door.open()
        read, _ = await taken_reading(messaging)
        await ready(client)
        assert await _retried(client) == retried
    assert (read.task_id, read.outcome, read.labels[0].label) == (task.task_id, "read", "shoes")
    assert await messaging.count("task.submitted.dlq") == 0


async def test_a_replica_without_a_model_leaves_the_photos_to_the_others_until_it_has_one(
    replica: Replica,
    helper: Publisher,
    store: ObjectStore,
    messaging: Messaging,
    task_for: TaskFor,
    tmp_path: Path,
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    photo = photo_of("shoes")
    task = task_for(photo)
    await store.put(task.photo.key, photo, media_type="image/jpeg")
    async with replica(model_dir=empty) as without:
        await helper.publish(task)
        checks = await eventually(lambda: _checks(without, "publisher"), what="its connection")
        assert (checks["model"], checks["consumer"]) == ("failed", "failed")
        async with replica():
            read, _ = await taken_reading(messaging)
            assert read.model_version == "shipped-1"
            assert await messaging.consumers("task.submitted") == 1
        assert await messaging.count("task.submitted.retry.1s") == 0
        await crown(store, "promoted-1", colour_model("promoted-1"))
        await eventually(lambda: _checks(without, "consumer"), what="its turn")
        await helper.publish(task)
        read, _ = await taken_reading(messaging)
        assert read.model_version == "promoted-1"
    assert await messaging.count("task.submitted.dlq") == 0


async def test_a_store_that_refuses_every_photo_holds_them_though_its_bucket_is_there(
    replica: Replica,
    helper: Publisher,
    store: ObjectStore,
    messaging: Messaging,
    task_for: TaskFor,
    door: Any,
) -> None:
    photo = photo_of("shoes")
    tasks = [task_for(photo) for _ in range(12)]
    for task in tasks:
        await store.put(task.photo.key, photo, media_type="image/jpeg")
    door.refuses = b"GET /"
    PAUSED.labels("s3").set(0)  # whatever another test left
    async with replica(s3_endpoint_url=door.url) as client:
        for task in tasks:
            await helper.publish(task)
        await eventually(lambda: _paused(client), what="the pause")
        door.refuses = None
        readings = [(await taken_reading(messaging))[0] for _ in tasks]
    assert {read.task_id for read in readings} == {task.task_id for task in tasks}
    assert await messaging.count("task.submitted.dlq") == 0


async def _checks(client: httpx.AsyncClient, passed: str) -> Any:
    checks = (await client.get("/readyz")).json()["checks"]
    return checks if checks.get(passed) == "ok" else None


async def _retried(client: httpx.AsyncClient) -> list[str]:
    lines = metrics_text().splitlines()
    return [line for line in lines if line.startswith("laundry_events_consumed_total") and "retried" in line]


async def _samples(client: httpx.AsyncClient) -> dict[str, float]:
    lines = metrics_text().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


async def _paused(client: httpx.AsyncClient) -> bool:
    return 'laundry_consumer_paused{dependency="s3"} 1.0' in metrics_text()
