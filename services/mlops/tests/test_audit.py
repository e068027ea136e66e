"""Whatever an operator does to models and runs stands in the audit, with who and why."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import httpx
import pytest
from sqlalchemy import text

from laundry_service.audit.acts import Act, Actor
from laundry_service.storage.database import Database
from laundry_service.storage.object_store import ObjectStoreUnavailable
from laundry_testing.identity import FileIdentity
from laundry_testing.models import colour_model, manifest_of
from laundry_testing.serving import ready
from mlops import repository
from mlops.service.registry import Registry
from mlops.service.shadow import change_with_audit

pytestmark = pytest.mark.servers
Service = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


async def test_promotion_rollback_and_runs_name_who_and_why(
    service: Service, identity: FileIdentity, database: Database, registry: Registry
) -> None:
    kim, lee = identity.bearer("operator", sub="kim"), identity.bearer("operator", sub="lee")
    async with service() as client:
        await ready(client)
        data = colour_model("better-2")
        manifest = manifest_of("better-2", data)
        await registry.upload(manifest, data)
        async with database.transaction() as session:
            await repository.add_model(session, manifest, source="refit")
        refused = await client.post("/models/better-2/promotion", headers=kim)
        assert refused.status_code == 409
        why = {"override_reason": "the branches ask for it"}
        promoted = await client.post("/models/better-2/promotion", json=why, headers=kim)
        assert promoted.status_code == 200, promoted.text
        back = await client.post("/models/rollback?reason=it+reads+worse", headers=lee)
        assert back.status_code == 200, back.text
        run = (await client.post("/training-runs", json={"kind": "refit"}, headers=kim)).json()
        await client.post(f"/training-runs/{run['id']}/cancellation?reason=wrong+day", headers=lee)
        page = (await client.get("/models/audit?limit=2", headers=kim)).json()
        rest = (await client.get(f"/models/audit?cursor={page['next_cursor']}", headers=kim)).json()
        assert (await client.get("/models/audit", headers=identity.bearer("owner"))).status_code == 403
        of_one = (await client.get("/models/audit?object=better-2", headers=kim)).json()["items"]
        assert of_one == rest["items"][-1:]
    told = [
        (each["action"], each["object"], each["by"], each["reason"])
        for each in [*page["items"], *rest["items"]]
    ]
    cancelled = [each for each in told if each[0] == "training-run.cancel"]
    assert cancelled in ([], [("training-run.cancel", run["id"], "lee", "wrong day")])
    assert [each for each in told if each not in cancelled] == [
        ("training-run.start", run["id"], "kim", None),
        ("model.rollback", "shipped-1", "lee", "it reads worse"),
        ("model.promote", "better-2", "kim", "the branches ask for it"),
    ]


async def test_a_change_that_the_store_refuses_is_recorded_as_failed(database: Database) -> None:
    async def refused() -> None:
        raise ObjectStoreUnavailable("away")

    act = Act("shadow.end", "m-2", Actor("kim", "operator"), "too slow")
    with pytest.raises(ObjectStoreUnavailable):
        await change_with_audit(database, act, refused)
    async with database.session() as session:
        records = (await session.execute(text("SELECT record FROM audit ORDER BY number"))).scalars().all()
    assert [(each["action"], each["outcome"], each["reason"]) for each in records] == [
        ("shadow.end", "asked", "too slow"),
        ("shadow.end", "failed", "too slow"),
    ]
