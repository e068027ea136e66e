"""What replicas say of themselves, as operators see it, and the model that reads alongside."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from laundry_reading.replicas import REPLICAS_PREFIX, SHADOW_KEY, Refused, Serving, Shadow, Shadowed
from laundry_reading.signing import TrustedKeys
from laundry_reading.storage import MAX_MANIFEST_BYTES, manifest_key, model_key
from laundry_service.storage.database import Database
from laundry_service.storage.object_store import ObjectMissing, ObjectStore
from laundry_testing.identity import FileIdentity
from laundry_testing.messaging import eventually
from laundry_testing.models import KEY, colour_model, manifest_of
from laundry_testing.serving import ready
from mlops import repository
from mlops.replicas import Replicas

pytestmark = pytest.mark.servers

Service = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


async def say(store: ObjectStore, serving: Serving) -> None:
    await store.put(serving.key, serving.model_dump_json().encode(), media_type="application/json")


async def test_operators_see_what_each_replica_serves_and_which_is_out_of_step(
    service: Service, store: ObjectStore, identity: FileIdentity
) -> None:
    operator = identity.bearer("operator")
    async with service() as client:

        async def champion() -> str | None:
            page = (await client.get("/models/replicas", headers=operator)).json()
            return str(page["champion"]) if page.get("champion") else None

        await eventually(champion, what="a champion")
        listed = (await client.get("/models/shipped-1", headers=operator)).json()
        tally = Shadowed(version="m-9", photos=10, agreed=9)
        now = datetime.now(UTC)
        await say(store, Serving(replica="ai-2", version=None, refused=Refused(version="x", why="cut off")))
        await say(
            store,
            Serving(replica="ai-1", version="shipped-1", sha256=listed["sha256"], since=now, shadow=tally),
        )
        await store.put(f"{REPLICAS_PREFIX}odd.json", b"{", media_type="application/json")
        page = (await client.get("/models/replicas", headers=operator)).json()
        refused = await client.get("/models/replicas", headers=identity.bearer("owner"))
    assert [(each["replica"], each["in_step"]) for each in page["items"]] == [("ai-1", True), ("ai-2", False)]
    assert page["items"][0]["shadow"] == {"version": "m-9", "photos": 10, "agreed": 9}
    assert page["items"][1]["refused"] == {"version": "x", "why": "cut off"}
    assert (page["champion"], page["shadow"], refused.status_code) == ("shipped-1", None, 403)


async def test_a_replica_that_is_silent_is_not_listed_and_later_forgotten(store: ObjectStore) -> None:
    replicas, serving = Replicas(store), Serving(replica="ai-1", version="m-1")
    await say(store, serving)
    assert [each.replica for each, _ in await replicas.seen()] == ["ai-1"]
    assert await replicas.seen(now=datetime.now(UTC) + timedelta(minutes=2)) == []
    assert await store.get(serving.key, max_bytes=10_000)
    assert await replicas.seen(now=datetime.now(UTC) + timedelta(hours=2)) == []
    with pytest.raises(ObjectMissing):
        await store.get(serving.key, max_bytes=10_000)


async def test_an_operator_lets_a_model_read_alongside_and_ends_it(
    service: Service, store: ObjectStore, identity: FileIdentity, database: Database
) -> None:
    operator = identity.bearer("operator")
    data = colour_model("m-2")
    manifest, broken = manifest_of("m-2", data), manifest_of("m-3", data)
    await store.put(model_key(manifest), data, media_type="application/octet-stream")
    async with database.transaction() as session:
        await repository.add_model(session, manifest, source="refit")
        await repository.add_model(session, broken, source="refit")
    async with service() as client:
        await ready(client)

        async def wish(version: str, share: float = 0.2, role: str = "operator") -> tuple[int, str | None]:
            path, who = f"/models/{version}/shadow", identity.bearer(role)
            answer = await client.put(path, json={"share": share}, headers=who)
            return answer.status_code, answer.json().get("code")

        assert await wish("m-2") == (200, None)
        assert await wish("nothing") == (404, "model-unknown")
        assert await wish("shipped-1") == (409, "already-champion")
        assert await wish("m-3") == (409, "model-broken")
        assert (await wish("m-2", share=1.5))[0] == 422
        assert (await wish("m-2", role="owner"))[0] == 403
        document = await store.get(manifest_key("m-2"), max_bytes=MAX_MANIFEST_BYTES)
        assert TrustedKeys([KEY.public]).open(document, "model") == manifest
        kept = Shadow.model_validate_json(await store.get(SHADOW_KEY, max_bytes=10_000))
        page = (await client.get("/models/replicas", headers=operator)).json()
        assert (kept.version, kept.share, page["shadow"]) == ("m-2", 0.2, {"version": "m-2", "share": 0.2})
        assert (await client.delete("/models/shadow", headers=operator)).status_code == 204
        page = (await client.get("/models/replicas", headers=operator)).json()
        audit = (await client.get("/models/audit", headers=operator)).json()["items"]
    assert page["shadow"] is None
    assert [(each["action"], each["object"], each["outcome"]) for each in audit] == [
        ("shadow.end", "m-2", "done"),
        ("shadow.end", "m-2", "asked"),
        ("shadow.begin", "m-2", "done"),
        ("shadow.begin", "m-2", "asked"),
    ]
