"""The registry over HTTP, with real files in a real object store."""

import contextlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest

from laundry_events.events import ModelPromoted
from laundry_learning.judging import Check
from laundry_reading.manifest import Manifest
from laundry_reading.signing import NotTrusted, TrustedKeys
from laundry_reading.storage import CHAMPION_KEY, MAX_MANIFEST_BYTES, model_key
from laundry_service.storage.database import Database
from laundry_service.storage.object_store import ObjectStore, ObjectStoreUnavailable
from laundry_testing.identity import FileIdentity
from laundry_testing.messaging import Messaging, eventually
from laundry_testing.models import KEY, LABELS, colour_model, manifest_of, ship
from laundry_testing.serving import ready
from mlops import repository
from mlops.models import Judgement
from mlops.service.registry import Registry

pytestmark = pytest.mark.servers

Service = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
TRUSTED = TrustedKeys([KEY.public])


async def told_champion(store: ObjectStore) -> Manifest:
    return TRUSTED.open(await store.get(CHAMPION_KEY, max_bytes=MAX_MANIFEST_BYTES), "champion")


async def add(
    database: Database, registry: Registry, version: str, *, good: bool = True, against: str = "shipped-1"
) -> Manifest:
    """Register a further model, as a training run does."""
    check = Check(name="classes", passed=good, text="pants loses 9 of its 20")
    verdict = Judgement(good=good, against=against, reasons=["because"], checks=[check])
    data = colour_model(version)
    manifest = manifest_of(version, data)
    await registry.upload(manifest, data)
    async with database.transaction() as session:
        await repository.add_model(session, manifest, source="refit", verdict=verdict)
    return manifest


class Promotions:
    """What a replica hears: the stream from its beginning."""

    def __init__(self, messaging: Messaging) -> None:
        self._messaging = messaging

    async def heard(self) -> list[ModelPromoted]:
        async with self._messaging.channel() as channel:
            await channel.set_qos(prefetch_count=100)
            queue = await channel.get_queue("model.promoted", ensure=False)
            found: list[ModelPromoted] = []
            async with queue.iterator(arguments={"x-stream-offset": "first"}, timeout=1) as messages:
                try:
                    async for message in messages:
                        found.append(ModelPromoted.model_validate_json(message.body))
                        await message.ack()
                except TimeoutError:
                    pass
            return found

    async def announced(self) -> None:
        """Wait for the first."""

        async def one() -> bool:
            return len(await self.heard()) == 1

        await eventually(one, what="the announcement")


@pytest.fixture
def promotions(messaging: Messaging) -> Promotions:
    return Promotions(messaging)


async def test_the_shipped_model_becomes_known_and_the_first_champion(
    service: Service, store: ObjectStore, identity: FileIdentity, promotions: Promotions, tmp_path: Path
) -> None:
    async with service() as client:
        await ready(client)
        await promotions.announced()
        for role in ("helper", "owner", "operator"):
            page = (await client.get("/models", headers=identity.bearer(role, "b1"))).json()
            assert page["next_cursor"] is None
            (model,) = page["items"]
        manifest = await told_champion(store)
        assert (model["version"], model["champion"], model["labels"]) == ("shipped-1", True, list(LABELS))
        assert model["sha256"] == manifest.sha256
        assert model["metrics"] == {"top1": 0.9}
        assert model["created_at"] == "2026-01-01T00:00:00Z"
        assert await store.get(model_key(manifest), max_bytes=10**6) == colour_model("shipped-1")
    # The same again: nothing new. Another shipped version: known, but no champion.
    ship(tmp_path / "models", "shipped-2")
    async with service() as client:
        await ready(client)
        page = (await client.get("/models", headers=identity.bearer("operator"))).json()
        assert [(m["version"], m["champion"]) for m in page["items"]] == [
            ("shipped-2", False),
            ("shipped-1", True),
        ]
        first = (await client.get("/models?limit=1", headers=identity.bearer("operator"))).json()
        cursor = first["next_cursor"]
        rest = (await client.get(f"/models?cursor={cursor}", headers=identity.bearer("operator"))).json()
        assert [m["version"] for m in first["items"] + rest["items"]] == ["shipped-2", "shipped-1"]
    await promotions.announced()


async def test_a_promotion_reaches_manifest_and_replicas_and_can_be_taken_back(
    service: Service,
    store: ObjectStore,
    database: Database,
    identity: FileIdentity,
    promotions: Promotions,
    registry: Registry,
) -> None:
    operator = identity.bearer("operator", sub="op-7")
    async with service() as client:
        await ready(client)
        better = await add(database, registry, "better-2")
        answer = await client.post("/models/better-2/promotion", headers=operator)
        assert (answer.status_code, answer.json()["champion"]) == (200, True)
        # The manifest is right before anybody can have heard.
        assert (await told_champion(store)).version == "better-2"

        async def told() -> list[ModelPromoted]:
            return [event for event in await promotions.heard() if event.model_version == "better-2"]

        (event,) = await eventually(told, what="the event")
        assert (event.sha256, event.previous_version) == (better.sha256, "shipped-1")
        assert event.promoted_by == "operator", "a stream may keep a name for years"
        again = await client.post("/models/better-2/promotion", headers=operator)
        assert (again.status_code, again.json()["code"]) == (409, "already-champion")
        back = await client.post("/models/shipped-1/promotion", headers=operator)
        assert back.status_code == 200
        assert (await told_champion(store)).version == "shipped-1"
        page = (await client.get("/models", headers=operator)).json()
        assert [m["version"] for m in page["items"] if m["champion"]] == ["shipped-1"]


async def test_a_worse_model_needs_an_override_that_is_kept(
    service: Service, store: ObjectStore, database: Database, identity: FileIdentity, registry: Registry
) -> None:
    operator = identity.bearer("operator", sub="op-7")
    async with service() as client:
        await ready(client)
        await add(database, registry, "worse-2", good=False)
        await add(database, registry, "elsewhere-3", against="another")
        async with database.transaction() as session:
            await repository.add_model(
                session, manifest_of("unjudged-4", colour_model("unjudged-4")), source="shipped"
            )
        for version, why in (("worse-2", "pants loses 9"), ("elsewhere-3", "judged against another")):
            refused = await client.post(f"/models/{version}/promotion", headers=operator)
            assert (refused.status_code, refused.json()["code"]) == (409, "model-not-good-enough")
            assert why in refused.json()["detail"]
        short = await client.post(
            "/models/worse-2/promotion", headers=operator, json={"override_reason": "because"}
        )
        assert (short.status_code, (await told_champion(store)).version) == (422, "shipped-1")
        reason = "the holdout lacks winter coats, seen by the team on 3 May"
        done = await client.post(
            "/models/worse-2/promotion", headers=operator, json={"override_reason": reason}
        )
        assert (done.status_code, done.json()["champion"]) == (200, True)
        assert done.json()["verdict"]["good"] is False
        (latest, first) = (await client.get("/models/promotions", headers=operator)).json()["items"]
        assert (latest["version"], latest["promoted_by"], latest["override_reason"]) == (
            "worse-2",
            "op-7",
            reason,
        )
        assert (first["kind"], first["override_reason"]) == ("shipped", None)
        # Having served by an override is no merit: away from it, and again the reason is asked for.
        back = await client.post("/models/rollback", headers=operator)
        assert (back.status_code, back.json()["version"]) == (200, "shipped-1")
        again = await client.post("/models/worse-2/promotion", headers=operator)
        assert again.json()["code"] == "model-not-good-enough"


async def test_a_rollback_goes_back_page_by_page(
    service: Service, store: ObjectStore, database: Database, identity: FileIdentity, registry: Registry
) -> None:
    operator = identity.bearer("operator")
    async with service() as client:
        await ready(client)
        none = await client.post("/models/rollback", headers=operator)
        assert (none.status_code, none.json()["code"]) == (409, "no-former-model")
        await add(database, registry, "second-2")
        await add(database, registry, "third-3", against="second-2")
        for version in ("second-2", "third-3"):
            assert (await client.post(f"/models/{version}/promotion", headers=operator)).status_code == 200
        for version in ("second-2", "shipped-1"):
            back = await client.post("/models/rollback", headers=operator)
            assert (back.json()["version"], (await told_champion(store)).version) == (version, version)
        end = await client.post("/models/rollback", headers=operator)
        assert end.json()["code"] == "no-former-model"
        listed = (await client.get("/models/promotions", headers=operator)).json()["items"]
    assert [(each["kind"], each["version"]) for each in listed[:3]] == [
        ("rollback", "shipped-1"),
        ("rollback", "second-2"),
        ("person", "third-3"),
    ]


async def test_a_model_whose_file_is_gone_or_changed_is_not_promoted(
    service: Service, store: ObjectStore, database: Database, identity: FileIdentity, registry: Registry
) -> None:
    operator = identity.bearer("operator")
    async with service() as client:
        await ready(client)
        changed, gone = await add(database, registry, "changed-2"), await add(database, registry, "gone-3")
        await store.put(model_key(changed), b"something else", media_type="application/octet-stream")
        await store.delete(model_key(gone))
        for version in ("changed-2", "gone-3"):
            answer = await client.post(f"/models/{version}/promotion", headers=operator)
            assert (answer.status_code, answer.json()["code"]) == (409, "model-broken")
        assert (await client.get("/models/shipped-1", headers=operator)).json()["champion"] is True
        assert (await told_champion(store)).version == "shipped-1"


REFUSALS: list[tuple[str, str, Any, tuple[int, str]]] = [
    ("POST", "/models/nothing/promotion", "operator", (404, "model-unknown")),
    ("GET", "/models/nothing", "operator", (404, "model-unknown")),
    ("POST", "/models/shipped-1/promotion", "owner", (403, "role-forbidden")),
    ("GET", "/models", "customer", (403, "role-forbidden")),
    ("POST", "/models/rollback", "owner", (403, "role-forbidden")),
    ("GET", "/models/promotions", "owner", (403, "role-forbidden")),
    ("GET", "/training-runs", "owner", (403, "role-forbidden")),
    ("GET", "/training-runs/stream", "helper", (403, "role-forbidden")),
    ("GET", "/models", None, (401, "token-missing")),
    ("GET", "/models?limit=0", "operator", (422, "invalid-request")),
]


async def test_who_may_not_and_what_is_not_there(service: Service, identity: FileIdentity) -> None:
    async with service() as client:
        await ready(client)
        for method, path, role, expected in REFUSALS:
            headers = identity.bearer(role) if role else {}
            answer = await client.request(method, path, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == expected, (method, path, role)
            assert answer.headers["content-type"] == "application/problem+json"


async def test_a_promotion_cut_off_by_a_crash_is_announced_at_the_next_start(
    service: Service, store: ObjectStore, database: Database, promotions: Promotions, registry: Registry
) -> None:
    async with service() as client:
        await ready(client)
    await add(database, registry, "better-2")
    # The decision was committed, and then the process died.
    await registry.promote("better-2", promoted_by="op")
    assert (await told_champion(store)).version == "shipped-1"
    async with service():

        async def told() -> bool:
            return [event.model_version for event in await promotions.heard()][-1:] == ["better-2"]

        await eventually(told, what="the announcement")
        assert (await told_champion(store)).version == "better-2"


async def test_a_manifest_that_was_lost_or_is_wrong_is_mended_at_the_next_start(
    service: Service, store: ObjectStore, promotions: Promotions
) -> None:
    async with service() as client:
        await ready(client)
        await promotions.announced()
    stray = manifest_of("stray-9", colour_model("stray-9"))
    await store.put(CHAMPION_KEY, KEY.seal(stray, "champion"), media_type="application/json")
    async with service():

        async def mended() -> bool:
            # The local store writes in place: who reads meanwhile may get half of it and asks again.
            with contextlib.suppress(ObjectStoreUnavailable, NotTrusted):
                return (await told_champion(store)).version == "shipped-1"
            return False

        await eventually(mended, what="the right manifest")

        async def again() -> bool:
            return len(await promotions.heard()) == 2

        await eventually(again, what="a second announcement")
