"""Which model a replica serves: the shipped one, the champion, and never a broken or a forged one."""

import base64
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
from pydantic import ValidationError

from ai_consumer.service.champion import REFUSING
from ai_consumer.settings import Settings
from laundry_events import Publisher
from laundry_events.events import ModelPromoted, TaskRead, TaskSubmitted
from laundry_reading.manifest import Manifest
from laundry_reading.signing import SigningKey
from laundry_reading.storage import CHAMPION_KEY, manifest_key, model_key
from laundry_service.storage.object_store import ObjectStore
from laundry_testing.identity import FileIdentity
from laundry_testing.messaging import Messaging, eventually
from laundry_testing.models import KEY, colour_model, manifest_of, photo_of
from laundry_testing.serving import metrics_text, ready

from .test_presence import told

pytestmark = pytest.mark.servers

Replica = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
TaskFor = Callable[..., TaskSubmitted]


async def crown(store: ObjectStore, version: str, data: bytes, **changes: Any) -> Manifest:
    """Put a champion into the store as MLOps does: file, then signed manifest."""
    manifest = manifest_of(version, data).model_copy(update=changes)
    await store.put(model_key(manifest), data, media_type="application/octet-stream")
    await tell(store, KEY.seal(manifest, "champion"))
    return manifest


async def tell(store: ObjectStore, document: bytes) -> None:
    await store.put(CHAMPION_KEY, document, media_type="application/json")


def promoted(manifest: Manifest) -> ModelPromoted:
    return ModelPromoted(
        model_version=manifest.version,
        manifest_key=manifest_key(manifest.version),
        sha256=manifest.sha256,
        promoted_by="op",
        promoted_at=datetime.now(UTC),
    )


async def serves(client: httpx.AsyncClient, version: str) -> None:
    async def asked() -> bool:
        return bool((await client.get("/model")).json().get("version") == version)

    await eventually(asked, what=f"{version} in service")


async def test_a_replica_that_starts_serves_the_champion(replica: Replica, store: ObjectStore) -> None:
    manifest = await crown(store, "champion-2", colour_model("champion-2"))
    async with replica(champion_poll_s=60) as client:
        await serves(client, "champion-2")
        body = (await client.get("/model")).json()
        assert (body["sha256"], body["labels"]) == (manifest.sha256, manifest.labels)
        assert 'laundry_model_served{version="champion-2"} 1.0' in metrics_text()


async def test_without_a_champion_the_shipped_model_serves(replica: Replica) -> None:
    async with replica() as client:
        await serves(client, "shipped-1")


async def test_an_event_swaps_the_model_of_a_running_replica_between_two_readings(
    replica: Replica, store: ObjectStore, helper: Publisher, messaging: Messaging, task_for: TaskFor
) -> None:
    photo = photo_of("pants")
    task = task_for(photo)
    await store.put(task.photo.key, photo, media_type="image/jpeg")
    mlops = Publisher(messaging.amqp_url, source="mlops")
    await mlops.wait_connected()
    # Polling is too rare to explain the swap.
    async with replica(champion_poll_s=600) as client:
        await ready(client)
        await helper.publish(task)
        assert (await _reading(messaging)).labels[0].label == "pants"
        # The next model takes green for shoes.
        swapped = np.eye(3, dtype=np.float32)[[0, 2, 1]] * 8
        manifest = await crown(store, "champion-2", colour_model("champion-2", weights=swapped))
        await mlops.publish(promoted(manifest))
        await serves(client, "champion-2")
        await helper.publish(task)
        read = await _reading(messaging)
    await mlops.stop()
    assert (read.model_version, read.labels[0].label) == ("champion-2", "shoes")


async def test_a_champion_whose_event_was_missed_is_found_by_looking(
    replica: Replica, store: ObjectStore
) -> None:
    async with replica(champion_poll_s=0.2) as client:
        await serves(client, "shipped-1")
        await crown(store, "champion-2", colour_model("champion-2"))
        await serves(client, "champion-2")


async def damage(store: ObjectStore, kind: str) -> None:
    """Crown a champion that nobody should serve."""
    good = colour_model("broken-3")
    if kind == "other bytes":
        await crown(store, "broken-3", good, sha256="0" * 64)
    elif kind == "no model":
        await crown(store, "broken-4", b"not an onnx file")
    elif kind == "another version":
        await crown(store, "broken-5", colour_model("something-else"))
    elif kind == "cut off":
        await crown(store, "broken-8", colour_model("broken-8")[:-500])
    elif kind == "other classes than its manifest":
        data = colour_model("broken-9", labels=("t-shirt", "pants", "hat"))
        await crown(store, "broken-9", data)
    elif kind == "other classes than before":
        names = ("t-shirt", "pants", "hat")
        data = colour_model("broken-10", labels=names)
        manifest = manifest_of("broken-10", data, labels=names)
        await store.put(model_key(manifest), data, media_type="x/y")
        await tell(store, KEY.seal(manifest, "champion"))
    elif kind == "another input shape":
        model = onnx.load_from_string(colour_model("broken-11"))
        model.graph.input[0].type.tensor_type.shape.dim[3].dim_value = 4
        await crown(store, "broken-11", model.SerializeToString())
    elif kind == "file missing":
        await tell(store, KEY.seal(manifest_of("broken-6", good), "champion"))
    else:
        await tell(store, b'{"version": "broken-7"}')


FORGERIES = [
    ("not signed", "its manifest is not signed"),
    ("another key", "signed by a key that is not trusted here"),
    ("changed afterwards", "says something else than what was signed"),
    ("payload changed too", "changed after it was signed"),
    ("signature cut off", "changed after it was signed"),
    ("another manifest's signature", "changed after it was signed"),
    ("a candidate's manifest", "is not signed as a champion"),
    ("no JSON", "is no JSON object"),
]


def forge(kind: str, version: str, data: bytes) -> bytes:
    """Write what somebody could write who has the bucket, but not the key; the model itself is whole."""
    manifest = manifest_of(version, data)
    document = json.loads(KEY.seal(manifest, "champion"))
    envelope = document["dsse"]
    if kind == "not signed":
        return manifest.to_json().encode()
    if kind == "another key":
        return SigningKey.generate().seal(manifest, "champion")
    if kind == "a candidate's manifest":
        return KEY.seal(manifest, "model")
    if kind == "no JSON":
        return KEY.seal(manifest, "champion")[:-40]
    if kind == "changed afterwards":
        document["threshold"] = 0.01
    elif kind == "payload changed too":
        payload = base64.b64decode(envelope["payload"]).replace(b'"threshold":0.6', b'"threshold":0.0')
        document["threshold"], envelope["payload"] = 0.0, base64.b64encode(payload).decode()
    elif kind == "signature cut off":
        envelope["signatures"][0]["sig"] = envelope["signatures"][0]["sig"][:-4]
    else:
        other = json.loads(KEY.seal(manifest_of("good-1", data), "champion"))
        envelope["signatures"] = other["dsse"]["signatures"]
    return json.dumps(document).encode()


async def test_a_champion_that_we_did_not_sign_so_is_refused_before_its_file_is_fetched(
    replica: Replica, store: ObjectStore, tmp_path: Path
) -> None:
    async with replica(champion_poll_s=0.2) as client:
        await ready(client)
        for number, (kind, why) in enumerate(FORGERIES):
            version = f"forged-{number}"
            data = colour_model(version)
            before = await _refused(client)
            REFUSING.set(0)
            # Its file is not even there: whoever fetched it would say so instead.
            await tell(store, forge(kind, version, data))

            async def refused(before: float = before) -> bool:
                return await _refused(client) > before

            await eventually(refused, what=f"the refusal ({kind})")

            async def so_told(why: str = why) -> bool:
                return any(word.refused and why in word.refused.why for word in await told(store))

            await eventually(so_told, what=f"what it tells operators ({kind})")
            await serves(client, "shipped-1")
            assert (await client.get("/readyz")).status_code == 200
            assert "laundry_model_refusing 1.0" in metrics_text()
        await crown(store, "champion-8", colour_model("champion-8"))
        await serves(client, "champion-8")


async def test_a_replica_takes_champions_of_the_old_and_of_the_new_key_while_keys_are_changed(
    replica: Replica, store: ObjectStore
) -> None:
    new = SigningKey.generate()
    async with replica(
        champion_poll_s=0.2, model_public_keys=f"{KEY.public.text},{new.public.text}"
    ) as client:
        await crown(store, "champion-2", colour_model("champion-2"))
        await serves(client, "champion-2")
        data = colour_model("champion-3")
        await store.put(model_key(manifest_of("champion-3", data)), data, media_type="x/y")
        await tell(store, new.seal(manifest_of("champion-3", data), "champion"))
        await serves(client, "champion-3")
    # A replica that knows the old key only goes on with the shipped model.
    REFUSING.set(0)
    async with replica(champion_poll_s=0.2) as client:
        await ready(client)
        await serves(client, "shipped-1")
        await eventually(lambda: "laundry_model_refusing 1.0" in metrics_text(), what="the refusal")
        await serves(client, "shipped-1")


def test_without_a_public_key_a_replica_does_not_start_and_says_what_to_set(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LAUNDRY_MODEL_PUBLIC_KEYS", raising=False)
    nothings: tuple[str | list[str], ...] = ("", " , ", [])
    for nothing in nothings:
        with pytest.raises(
            ValidationError, match=r"LAUNDRY_MODEL_PUBLIC_KEYS is not set.*laundry models keygen"
        ):
            make_settings(model_public_keys=nothing)
    values = make_settings().model_dump(exclude={"model_public_keys"})
    with pytest.raises(ValidationError, match="LAUNDRY_MODEL_PUBLIC_KEYS is not set"):
        Settings(**values)
    with pytest.raises(ValidationError) as wrong:
        make_settings(model_public_keys="bm8ga2V5")
    assert "bm8ga2V5" not in str(wrong.value)
    monkeypatch.setenv("LAUNDRY_MODEL_PUBLIC_KEYS", f"{KEY.public.text},{KEY.public.text}")
    assert Settings(**values).model_public_keys == (KEY.public.text, KEY.public.text)


async def test_a_broken_champion_is_refused_and_the_old_one_goes_on(
    replica: Replica, store: ObjectStore
) -> None:
    async with replica(champion_poll_s=0.2) as client:
        await ready(client)
        for kind in (
            "other bytes",
            "no model",
            "cut off",
            "another version",
            "other classes than its manifest",
            "other classes than before",
            "another input shape",
            "file missing",
            "no manifest",
        ):
            before = await _refused(client)
            REFUSING.set(0)
            await damage(store, kind)

            async def refused(before: float = before) -> bool:
                return await _refused(client) > before

            await eventually(refused, what=f"the refusal ({kind})")
            assert "laundry_model_refusing 1.0" in metrics_text()
            await serves(client, "shipped-1")
            assert (await client.get("/readyz")).status_code == 200
        # And a good one that follows is taken.
        await crown(store, "champion-8", colour_model("champion-8"))
        await serves(client, "champion-8")
        assert "laundry_model_refusing 0.0" in metrics_text()


async def test_only_who_runs_a_branch_or_the_system_may_ask_for_the_model(
    replica: Replica, identity: FileIdentity
) -> None:
    async with replica() as client:
        assert (await client.get("/model", headers=identity.bearer("helper", "b1"))).status_code == 403
        del client.headers["Authorization"]
        assert (await client.get("/model")).status_code == 401


async def test_without_any_model_a_replica_is_not_ready(replica: Replica, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    async with replica(model_dir=tmp_path / "nothing") as client:
        assert (await client.get("/readyz")).status_code == 503
        answer = await client.get("/model")
    assert (answer.status_code, answer.json()["code"]) == (503, "no-model")


async def _reading(messaging: Messaging) -> TaskRead:
    return TaskRead.model_validate_json((await messaging.take("task.read")).body)


async def _refused(client: httpx.AsyncClient) -> float:
    lines = metrics_text().splitlines()
    return float(next(line for line in lines if line.startswith("laundry_model_refused_total")).split()[1])
