"""What a replica says of itself, and the model that reads alongside without being shown."""

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from pydantic import ValidationError

from ai_consumer.service import presence
from ai_consumer.service.presence import Presence
from ai_consumer.service.shadow import ShadowReader, falls_to
from laundry_events import Publisher
from laundry_events.events import TaskRead, TaskSubmitted
from laundry_reading.manifest import Manifest
from laundry_reading.replicas import REPLICAS_PREFIX, SHADOW_KEY, Serving, Shadow, Shadowed
from laundry_reading.signing import Purpose, SigningKey
from laundry_reading.storage import CHAMPION_KEY, manifest_key, model_key
from laundry_service.storage.object_store import ObjectMissing, ObjectStore, ObjectStoreUnavailable
from laundry_testing.messaging import Messaging, eventually
from laundry_testing.models import KEY, colour_model, manifest_of, photo_of
from laundry_testing.serving import metrics_text

Replica = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
TaskFor = Callable[..., TaskSubmitted]


async def keep(store: ObjectStore, version: str, data: bytes, **changes: Any) -> Manifest:
    """Put a model into the store as MLOps does."""
    manifest = manifest_of(version, data).model_copy(update=changes)
    await store.put(model_key(manifest), data, media_type="application/octet-stream")
    await store.put(manifest_key(version), KEY.seal(manifest, "model"), media_type="application/json")
    return manifest


async def told(store: ObjectStore) -> list[Serving]:
    """Every word that can be read; the local store overwrites them in place."""
    keys = [key async for key, _ in store.listing(REPLICAS_PREFIX)]
    words = []
    for key in keys:
        with contextlib.suppress(ObjectMissing, ObjectStoreUnavailable, ValidationError):
            words.append(Serving.model_validate_json(await store.get(key, max_bytes=10_000)))
    return words


def test_a_share_of_the_tasks_is_read_alongside_the_same_ones_everywhere() -> None:
    tasks = [f"task-{number}" for number in range(4000)]
    chosen = [task for task in tasks if falls_to(task, 0.25)]
    assert 850 < len(chosen) < 1150
    assert all(falls_to(task, 0.5) for task in chosen)
    assert all(falls_to(task, 1.0) for task in tasks)


@pytest.mark.servers
async def test_a_replica_says_what_it_serves_and_refuses_and_takes_its_word_back(
    replica: Replica, store: ObjectStore
) -> None:
    async with replica(champion_poll_s=0.2):

        async def says(version: str, refused: str | None) -> bool:
            words = await told(store)
            return [(w.version, w.refused and w.refused.version) for w in words] == [(version, refused)]

        await eventually(lambda: says("shipped-1", None), what="its first word")
        broken = await keep(store, "broken-2", colour_model("broken-2"), sha256="0" * 64)
        await store.put(CHAMPION_KEY, KEY.seal(broken, "champion"), media_type="application/json")
        await eventually(lambda: says("shipped-1", "broken-2"), what="what it refuses")
        good = await keep(store, "champion-3", colour_model("champion-3"))
        await store.put(CHAMPION_KEY, KEY.seal(good, "champion"), media_type="application/json")
        await eventually(lambda: says("champion-3", None), what="what it took")
    assert [key async for key, _ in store.listing(REPLICAS_PREFIX)] == []


class SlowStore:
    """Writes as a thread does: on and on, whoever stops waiting for it."""

    def __init__(self) -> None:
        self.words: set[str] = set()
        self.writing: asyncio.Task[None] | None = None

    async def put(self, key: str, body: bytes, *, media_type: str) -> None:
        self.writing = asyncio.create_task(self._write(key))
        await asyncio.shield(self.writing)

    async def _write(self, key: str) -> None:
        await asyncio.sleep(0.2)
        self.words.add(key)

    async def delete(self, key: str) -> None:
        self.words.discard(key)


async def test_a_word_that_is_on_its_way_is_taken_back_too() -> None:
    store: Any = SlowStore()
    nothing: Any = SimpleNamespace(served=None, refused=None, tally=None)
    presence = Presence(store, nothing, nothing, name="ai-1")
    await presence.start()
    await eventually(lambda: store.writing, what="a word on its way")
    await presence.stop()
    await store.writing
    assert store.words == set()


@pytest.fixture
def talkative(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replicas that say what they count twice a second instead of every ten."""
    monkeypatch.setattr("ai_consumer.app.Presence", partial(Presence, every_s=0.5))
    monkeypatch.setattr(presence, "LOOK_EVERY_S", 0.2)


@pytest.mark.servers
@pytest.mark.usefixtures("talkative")
async def test_a_shadow_reads_alongside_is_counted_and_never_shown(
    replica: Replica, store: ObjectStore, helper: Publisher, messaging: Messaging, task_for: TaskFor
) -> None:
    # It takes green for shoes, so it agrees on red photos and not on green ones.
    swapped = np.eye(3, dtype=np.float32)[[0, 2, 1]] * 8
    await keep(store, "shadow-2", colour_model("shadow-2", weights=swapped))
    shadow = Shadow(version="shadow-2", share=1.0)
    await store.put(SHADOW_KEY, shadow.model_dump_json().encode(), media_type="application/json")
    async with replica(champion_poll_s=0.2) as client:

        async def shadowed() -> bool:
            return any(word.shadow for word in await told(store))

        await eventually(shadowed, what="the shadow taken")
        for label in ("t-shirt", "pants", "pants"):
            photo = photo_of(label)
            task = task_for(photo)
            await store.put(task.photo.key, photo, media_type="image/jpeg")
            before = await counted(client)
            await helper.publish(task)
            read = TaskRead.model_validate_json((await messaging.take("task.read")).body)
            assert (read.model_version, read.labels[0].label) == ("shipped-1", label)

            async def more(before: dict[str, float] = before) -> bool:
                return await counted(client) != before

            await eventually(more, what="the shadow's reading")
        found = await counted(client)
        assert (found["yes"], found["no"]) == (1, 2)
        await store.delete(SHADOW_KEY)

        async def gone() -> bool:
            return [word.shadow for word in await told(store)] == [None]

        await eventually(gone, within_s=20, what="no shadow any more")


@pytest.mark.servers
@pytest.mark.usefixtures("talkative")
async def test_a_shadow_that_is_broken_or_unlike_the_champion_does_not_read(
    replica: Replica, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Shadowed | None] = []
    look = ShadowReader.look

    async def noted(reader: ShadowReader) -> None:
        await look(reader)
        looks.append(reader.tally)

    monkeypatch.setattr(ShadowReader, "look", noted)
    labels = ("t-shirt", "pants", "hat")
    data = colour_model("other-5", labels=labels)
    manifest = manifest_of("other-5", data, labels=labels)
    await store.put(model_key(manifest), data, media_type="x/y")
    await store.put(manifest_key("other-5"), KEY.seal(manifest, "model"), media_type="x/y")
    await keep(store, "changed-6", colour_model("changed-6"), sha256="0" * 64)
    wrong: list[tuple[str, SigningKey | None, Purpose]] = [
        ("unsigned-8", None, "model"),
        ("foreign-9", SigningKey.generate(), "model"),
        ("crowned-10", KEY, "champion"),
    ]
    for version, key, purpose in wrong:
        manifest = await keep(store, version, colour_model(version))
        document = key.seal(manifest, purpose) if key else manifest.to_json().encode()
        await store.put(manifest_key(version), document, media_type="x/y")
    # Another model's manifest, rightly signed, in this one's place.
    moved = await keep(store, "good-7", colour_model("good-7"))
    await store.put(manifest_key("moved-11"), KEY.seal(moved, "model"), media_type="x/y")
    async with replica(champion_poll_s=0.1) as client:
        for version in (
            "missing-4",
            "other-5",
            "changed-6",
            "unsigned-8",
            "foreign-9",
            "crowned-10",
            "moved-11",
        ):
            body = Shadow(version=version, share=1.0).model_dump_json().encode()
            await store.put(SHADOW_KEY, body, media_type="application/json")
            # Of two more looks the second began after it was there.
            looks.clear()
            await eventually(lambda: len(looks) >= 2, what=f"a look at {version}")
            assert looks[-1] is None, version
            assert [word.shadow for word in await told(store)] in ([None], [])
            assert (await client.get("/livez")).status_code == 200
        await keep(store, "good-7", colour_model("good-7"))
        body = Shadow(version="good-7", share=0.5).model_dump_json().encode()
        await store.put(SHADOW_KEY, body, media_type="application/json")

        async def taken() -> bool:
            return [word.shadow and word.shadow.version for word in await told(store)] == ["good-7"]

        await eventually(taken, within_s=20, what="a good one")


async def counted(client: httpx.AsyncClient) -> dict[str, float]:
    found = {"yes": 0.0, "no": 0.0}
    for line in metrics_text().splitlines():
        for agrees in found:
            if line.startswith(f'laundry_shadow_readings_total{{agrees="{agrees}",version="shadow-2"}}'):
                found[agrees] = float(line.split()[-1])
    return found
