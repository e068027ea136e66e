"""Every manifest in the bucket is signed: what is not, or not so, is rewritten from the database."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from laundry_reading.manifest import Manifest
from laundry_reading.signing import NotTrusted, Purpose, SigningKey, TrustedKeys
from laundry_reading.storage import CHAMPION_KEY, MAX_MANIFEST_BYTES, manifest_key, model_key
from laundry_service.storage.database import Database
from laundry_service.storage.object_store import ObjectMissing, ObjectStore, ObjectStoreUnavailable
from laundry_testing.identity import FileIdentity
from laundry_testing.messaging import eventually
from laundry_testing.models import KEY, colour_model, manifest_of, ship
from laundry_testing.serving import ready
from mlops import repository
from mlops.models import BrokenModel
from mlops.service import reconciler
from mlops.service.registry import Registry
from mlops.settings import Settings

pytestmark = pytest.mark.servers

Service = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
MakeSettings = Callable[..., Settings]


async def signed(store: ObjectStore, key: str, purpose: Purpose, by: SigningKey = KEY) -> Manifest | None:
    """What lies in the store, if this key signed it; nothing while it is being overwritten."""
    try:
        document = await store.get(key, max_bytes=MAX_MANIFEST_BYTES)
        return TrustedKeys([by.public]).open(document, purpose)
    except (ObjectMissing, ObjectStoreUnavailable, NotTrusted):
        return None


async def told(store: ObjectStore, version: str, by: SigningKey = KEY) -> None:
    async def right() -> bool:
        found = await signed(store, CHAMPION_KEY, "champion", by)
        return found is not None and found.version == version

    await eventually(right, what=f"the signed manifest of the champion {version}")


async def put(store: ObjectStore, key: str, document: bytes) -> None:
    await store.put(key, document, media_type="application/json")


async def add(database: Database, registry: Registry, version: str) -> Manifest:
    data = colour_model(version)
    manifest = manifest_of(version, data)
    await registry.upload(manifest, data)
    async with database.transaction() as session:
        await repository.add_model(session, manifest, source="refit")
    return manifest


WRONG: dict[str, Callable[[Manifest], bytes]] = {
    "from before there were signatures": lambda manifest: manifest.to_json().encode(),
    "of another key": lambda manifest: SigningKey.generate().seal(manifest, "champion"),
    "of a candidate": lambda manifest: KEY.seal(manifest, "model"),
    "changed": lambda manifest: KEY.seal(manifest, "champion").replace(
        b'"threshold": 0.6', b'"threshold": 0.0'
    ),
    "cut off": lambda manifest: KEY.seal(manifest, "champion")[:200],
    "of another model": lambda _: KEY.seal(manifest_of("stray-9", colour_model("stray-9")), "champion"),
}


async def test_a_champions_manifest_that_is_wrong_is_mended_at_the_next_start(
    service: Service, store: ObjectStore
) -> None:
    async with service() as client:
        await ready(client)
        await told(store, "shipped-1")
        right = await signed(store, CHAMPION_KEY, "champion")
        assert right is not None
    for kind, write in WRONG.items():
        wrong = write(right)
        await put(store, CHAMPION_KEY, wrong)
        assert await store.get(CHAMPION_KEY, max_bytes=MAX_MANIFEST_BYTES) == wrong, kind
        async with service():
            await told(store, "shipped-1")
    await store.delete(CHAMPION_KEY)
    async with service():
        await told(store, "shipped-1")


async def test_an_upgrade_signs_what_was_stored_before_there_were_signatures(
    service: Service, store: ObjectStore, database: Database, registry: Registry
) -> None:
    async with service() as client:
        await ready(client)
        await told(store, "shipped-1")
        candidate = await add(database, registry, "candidate-2")
    shipped = await signed(store, CHAMPION_KEY, "champion")
    assert shipped is not None
    for manifest in (shipped, candidate):
        await put(store, manifest_key(manifest.version), manifest.to_json().encode())
    await put(store, CHAMPION_KEY, shipped.to_json().encode())
    async with service() as client:
        await ready(client)
        await told(store, "shipped-1")
        for manifest in (shipped, candidate):

            async def kept(manifest: Manifest = manifest) -> bool:
                return await signed(store, manifest_key(manifest.version), "model") == manifest

            await eventually(kept, what=f"the signed manifest of {manifest.version}")


async def test_a_former_champion_that_somebody_puts_back_is_replaced_while_the_service_runs(
    service: Service,
    store: ObjectStore,
    database: Database,
    registry: Registry,
    identity: FileIdentity,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reconciler, "REPAIR_EVERY_S", 0.0)
    monkeypatch.setattr(reconciler, "POLL_S", 0.2)
    async with service() as client:
        await ready(client)
        await told(store, "shipped-1")
        before = await store.get(CHAMPION_KEY, max_bytes=MAX_MANIFEST_BYTES)
        await add(database, registry, "better-2")
        reason = {"override_reason": "this is a rehearsal of the mending"}
        done = await client.post(
            "/models/better-2/promotion", json=reason, headers=identity.bearer("operator")
        )
        assert done.status_code == 200
        await told(store, "better-2")
        await put(store, CHAMPION_KEY, before)
        await told(store, "better-2")


async def test_a_new_signing_key_signs_everything_anew_so_that_the_old_one_can_go(
    service: Service, store: ObjectStore, database: Database, registry: Registry
) -> None:
    new = SigningKey.generate()
    both = [KEY.public.text, new.public.text]
    # First the new key is trusted, and the old one signs on.
    async with service(model_public_keys=both) as client:
        await ready(client)
        await told(store, "shipped-1")
        await add(database, registry, "candidate-2")
    async with service(model_public_keys=both, model_signing_key=new.text) as client:
        await ready(client)
        await told(store, "shipped-1", by=new)
        for version in ("shipped-1", "candidate-2"):

            async def signed_again(version: str = version) -> bool:
                return await signed(store, manifest_key(version), "model", new) is not None

            await eventually(signed_again, what=f"the new signature of {version}")


async def test_what_somebody_laid_in_a_models_place_is_not_taken_for_ours(
    store: ObjectStore, registry: Registry
) -> None:
    data = colour_model("new-2")
    manifest = manifest_of("new-2", data)
    await put(
        store, manifest_key("new-2"), manifest.model_copy(update={"sha256": "0" * 64}).to_json().encode()
    )
    await registry.upload(manifest, data)
    assert await signed(store, manifest_key("new-2"), "model") == manifest
    assert await store.get(model_key(manifest), max_bytes=10**6) == data
    # One that we signed ourselves is another matter: a version names one model for ever.
    other = colour_model("new-2", threshold=0.7)
    with pytest.raises(BrokenModel, match="stored already"):
        await registry.upload(manifest_of("new-2", other, threshold=0.7), other)
    assert await store.get(model_key(manifest), max_bytes=10**6) == data


async def test_another_shipped_model_under_a_known_version_overwrites_nothing(
    service: Service, store: ObjectStore, registry: Registry, tmp_path: Path
) -> None:
    async with service() as client:
        await ready(client)
    ship(tmp_path / "models", "shipped-1", colour_model("shipped-1", temperature=2.0))
    # Not even where the signature, and with it the knowledge of what was stored, is gone.
    await store.delete(manifest_key("shipped-1"))
    with pytest.raises(BrokenModel, match="another hash"):
        await registry.register_shipped(tmp_path / "models")
    manifest = manifest_of("shipped-1", colour_model("shipped-1"))
    assert await store.get(model_key(manifest), max_bytes=10**6) == colour_model("shipped-1")


async def test_a_model_that_no_replica_would_read_is_neither_stored_nor_promoted(
    service: Service,
    store: ObjectStore,
    database: Database,
    registry: Registry,
    identity: FileIdentity,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reconciler, "REPAIR_EVERY_S", 0.0)
    monkeypatch.setattr(reconciler, "POLL_S", 0.1)
    operator = identity.bearer("operator")
    data = colour_model("large-2")
    large = manifest_of("large-2", data).model_copy(update={"metrics": {"poem": "x" * 200_000}})
    with pytest.raises(BrokenModel, match="once it is signed"):
        await registry.upload(large, data)
    with pytest.raises(ObjectMissing):
        await store.get(model_key(large), max_bytes=10**6)
    # One that was registered before that was refused.
    await put(store, model_key(large), data)
    async with database.transaction() as session:
        await repository.add_model(session, large, source="full")
    async with service() as client:
        await ready(client)
        await told(store, "shipped-1")
        reason = {"override_reason": "this is a rehearsal of the refusal"}
        answer = await client.post("/models/large-2/promotion", json=reason, headers=operator)
        assert (answer.status_code, answer.json()["code"]) == (409, "model-broken")
        assert "replicas read" in answer.json()["detail"]
        # Even the champion: it is told of once, and another can take its place.
        async with database.transaction() as session:
            await repository.lock_promotions(session)
            await repository.make_champion(
                session, "large-2", kind="run", promoted_by="run", promoted_at=datetime.now(UTC)
            )
        assert await registry.announce() == 0
        await registry.repair()
        back = await client.post("/models/rollback", headers=operator)
        assert (back.status_code, back.json()["version"]) == (200, "shipped-1")
        await told(store, "shipped-1")
        async with database.session() as session:
            assert await repository.pending_promotions(session) == []


def refused(make_settings: MakeSettings, **changes: Any) -> str:
    with pytest.raises(ValidationError) as found:
        make_settings(**changes)
    return str(found.value)


def test_without_its_keys_the_service_does_not_start_and_says_what_to_set(
    make_settings: MakeSettings,
) -> None:
    new = SigningKey.generate()
    assert "LAUNDRY_MODEL_SIGNING_KEY is not set" in refused(make_settings, model_signing_key="")
    assert "LAUNDRY_MODEL_PUBLIC_KEYS is not set" in refused(make_settings, model_public_keys="")
    text = refused(make_settings, model_signing_key=new.text)
    assert "lacks the public half" in text and new.public.text in text
    assert new.text not in text and KEY.text not in text
    for broken in (new.text[:-8], f"-----BEGIN PRIVATE KEY-----\n{new.text}\n-----END PRIVATE KEY-----"):
        assert broken not in refused(make_settings, model_signing_key=broken)


def test_a_training_job_gets_the_same_keys(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(
        model_public_keys=[KEY.public.text, SigningKey.generate().public.text],
        rate_limits={"training-runs": {"person": "9/h"}},
        token_max_hours={"owner": 8},
    )
    for name, value in settings.as_environment().items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings
    assert KEY.text not in repr(settings)
