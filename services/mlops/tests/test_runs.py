"""Training runs: a real refit in a process of its own, and how runs end otherwise."""

import asyncio
import contextlib
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import numpy as np
import pytest
import sqlalchemy as sa

from laundry_events import new_id
from laundry_learning.holdout import LabelledPhoto, write_beside
from laundry_reading.manifest import Manifest
from laundry_reading.model import Model
from laundry_reading.signing import NotTrusted, TrustedKeys
from laundry_reading.storage import CHAMPION_KEY, MAX_MANIFEST_BYTES, manifest_key, model_key
from laundry_service.storage.database import Database
from laundry_service.storage.object_store import ObjectStore, ObjectStoreUnavailable
from laundry_testing.identity import FileIdentity
from laundry_testing.messaging import eventually
from laundry_testing.models import KEY, LABELS, colour_model, photo_of, ship
from laundry_testing.serving import ready
from mlops import repository
from mlops.jobs import training_set as seeing
from mlops.runs import RunError
from mlops.service.runner import RUNNER_LOCK

from .conftest import Confirmed, stock

pytestmark = pytest.mark.servers

Service = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
ENDED = {"succeeded", "failed", "cancelled"}


async def run_to_its_end(client: httpx.AsyncClient, headers: dict[str, str], kind: str = "refit") -> Any:
    started = await client.post("/training-runs", json={"kind": kind}, headers=headers)
    assert started.status_code == 201, started.text
    body = started.json()
    assert (body["status"], body["progress"], body["decision"]) == ("queued", 0, None)

    async def ended() -> Any:
        run = (await client.get(started.headers["location"], headers=headers)).json()
        return run if run["status"] in ENDED else None

    return await eventually(ended, within_s=120, what="the end of the run")


async def test_a_refit_learns_from_corrections_and_its_model_takes_over(
    service: Service,
    database: Database,
    store: ObjectStore,
    identity: FileIdentity,
    confirmed: Confirmed,
    tmp_path: Any,
) -> None:
    # The shipped model takes pants for shoes and shoes for pants; people corrected it.
    confused = np.eye(3, dtype=np.float32)[[0, 2, 1]] * 4
    ship(tmp_path / "models", "confused-1", colour_model("confused-1", weights=confused))
    # Held-out photos of another light ship with it; none of them may be forgotten.
    write_beside(
        tmp_path / "models",
        [LabelledPhoto(photo_of(label, seed=700), LABELS.index(label)) for label in LABELS],
    )
    operator = identity.bearer("operator", sub="ml-1")
    async with service() as client:
        await ready(client)
        await stock(database, store, confirmed, 60)
        run = await run_to_its_end(client, operator)
        assert (run["status"], run["error"], run["progress"]) == ("succeeded", None, 1.0)
        assert run["decision"]["promoted"] is True
        assert any("frozen holdout: 3 right" in reason for reason in run["decision"]["reasons"])
        assert run["requested_by"] == "ml-1"
        model = (await client.get(f"/models/{run['model_version']}", headers=operator)).json()
        listed = (await client.get("/training-runs", headers=operator)).json()

        async def told() -> Manifest | None:
            # The local store writes in place: who reads meanwhile may get half of it and asks again.
            with contextlib.suppress(NotTrusted, ObjectStoreUnavailable):
                kept = await store.get(CHAMPION_KEY, max_bytes=MAX_MANIFEST_BYTES)
                manifest = TrustedKeys([KEY.public]).open(kept, "champion")
                return manifest if manifest.version == run["model_version"] else None
            return None

        # The registry has it first. A service that stops now would end the process before it tells anybody.
        manifest = await eventually(told, what="the champion's manifest")
    assert [each["id"] for each in listed["items"]] == [run["id"]]
    assert model["champion"] is True
    assert model["metrics"]["top1"] > model["metrics"]["champion"]["top1"]
    assert model["verdict"]["good"] is True
    assert [row[0] for row in model["metrics"]["confusion"]] == [1, 0, 0]
    lineage = model["lineage"]
    assert (lineage["base_version"], lineage["run_id"]) == ("confused-1", run["id"])
    assert (lineage["examples_learnt"], lineage["examples_judging"]) == (60, 0)
    assert lineage["branches_known"] == 1
    # The run's own process signed what replicas will load.
    kept = await store.get(manifest_key(manifest.version), max_bytes=MAX_MANIFEST_BYTES)
    assert TrustedKeys([KEY.public]).open(kept, "model") == manifest
    served = Model.load(await store.get(model_key(manifest), max_bytes=10**6), sha256=manifest.sha256)
    assert served.version == manifest.version
    assert len(served.priors) == 1
    assert [served.read(photo_of(label, seed=999)).labels[0].label for label in LABELS] == list(LABELS)


async def test_a_refit_that_teaches_nothing_leaves_the_champion(
    service: Service, database: Database, store: ObjectStore, identity: FileIdentity, confirmed: Confirmed
) -> None:
    # The labels have nothing to do with the photos.
    random = np.random.default_rng(3)
    async with database.transaction() as session:
        for number in range(60):
            photo = photo_of(LABELS[number % 3], size=(48, 36), seed=number)
            event = confirmed(photo, LABELS[int(random.integers(3))])
            await store.put(event.photo.key, photo, media_type="image/jpeg")
            await repository.store_examples(session, {new_id(): event})
    operator = identity.bearer("operator")
    async with service() as client:
        await ready(client)
        run = await run_to_its_end(client, operator)
        champion = (await client.get("/models/shipped-1", headers=operator)).json()
    assert run["status"] == "succeeded"
    assert run["decision"]["reasons"]
    assert run["decision"]["promoted"] is not champion["champion"]


async def test_too_few_examples_fail_with_what_is_missing(
    service: Service, database: Database, store: ObjectStore, identity: FileIdentity, confirmed: Confirmed
) -> None:
    await stock(database, store, confirmed, 5)
    async with service() as client:
        await ready(client)
        run = await run_to_its_end(client, identity.bearer("operator"))
    assert (run["status"], run["decision"], run["model_version"]) == ("failed", None, None)
    assert "Too few examples" in run["error"]
    assert "at least 12" in run["error"]


async def test_examples_of_one_kind_alone_teach_nothing(
    service: Service, database: Database, store: ObjectStore, identity: FileIdentity, confirmed: Confirmed
) -> None:
    async with database.transaction() as session:
        for number in range(20):
            photo = photo_of("shoes", size=(48, 36), seed=number)
            event = confirmed(photo, "shoes")
            await store.put(event.photo.key, photo, media_type="image/jpeg")
            await repository.store_examples(session, {new_id(): event})
    async with service() as client:
        await ready(client)
        run = await run_to_its_end(client, identity.bearer("operator"))
    assert (run["status"], run["model_version"]) == ("failed", None)
    assert "of two kinds or more; there is 1" in run["error"]


async def test_a_store_that_goes_away_in_the_middle_fails_the_run_and_keeps_what_was_seen(
    database: Database, store: ObjectStore, confirmed: Confirmed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seeing, "KEPT_EVERY", 4)
    await stock(database, store, confirmed, 12)
    fetch = store.get
    asked = 0

    async def get(key: str, *, max_bytes: int) -> bytes:
        nonlocal asked
        asked += 1
        if asked > 8:
            raise ObjectStoreUnavailable("gone")
        return await fetch(key, max_bytes=max_bytes)

    monkeypatch.setattr(store, "get", get)
    async with database.session() as session:
        examples = await repository.newest_examples(session, limit=100)
    extractor = seeing.FeatureExtractor(database, store, Model.load(colour_model("m")), "backbone-1")

    async def nothing(share: float) -> None:
        pass

    with pytest.raises(RunError, match="object store is away"):
        await extractor.extract(examples, nothing)
    async with database.session() as session:
        kept = await repository.stored_features(
            session, "backbone-1", [each.photo_sha256 for each in examples]
        )
    assert len(kept) == 8
    # Back again, only the rest is fetched.
    asked = 4
    seen, unusable = await extractor.extract(examples, nothing)
    assert (len(seen), unusable, asked) == (12, {}, 8)


async def test_a_full_training_is_refused_openly_where_it_cannot_run(
    service: Service, identity: FileIdentity
) -> None:
    async with service() as client:
        await ready(client)
        full = await client.post("/training-runs", json={"kind": "full"}, headers=identity.bearer("operator"))
        odd = await client.post("/training-runs", json={"kind": "odd"}, headers=identity.bearer("operator"))
        owner = await client.post("/training-runs", json={"kind": "refit"}, headers=identity.bearer("owner"))
        nothing = await client.get("/training-runs/nothing", headers=identity.bearer("operator"))
    assert (full.status_code, full.json()["code"]) == (409, "training-unavailable")
    for missing in ("no weights", "LAUNDRY_TRAINING_PYTHON", "LAUNDRY_TRAINING_DATA"):
        assert missing in full.json()["detail"]
    assert (odd.status_code, owner.status_code, nothing.status_code) == (422, 403, 404)


async def test_a_run_is_cancelled_and_whoever_listens_sees_each_step(
    service: Service, identity: FileIdentity, database: Database
) -> None:
    operator = identity.bearer("operator")
    async with contextlib.AsyncExitStack() as stack:
        leader = await stack.enter_async_context(database.engine.connect())
        # Leads instead of the service, so that the run stays queued until it is cancelled.
        await leader.execute(sa.select(sa.func.pg_advisory_lock(RUNNER_LOCK)))
        client = await stack.enter_async_context(service())
        await ready(client)
        seen: list[tuple[str, str]] = []
        listening = asyncio.Event()

        async def follow() -> None:
            async with client.stream("GET", "/training-runs/stream", headers=operator) as answer:
                event = ""
                async for line in answer.aiter_lines():
                    if line.startswith("event: "):
                        event = line.removeprefix("event: ")
                        if event == "ready":
                            listening.set()
                    elif line.startswith("data: ") and event == "training-run":
                        run = json.loads(line.removeprefix("data: "))
                        seen.append((run["id"], run["status"]))

        follower = asyncio.create_task(follow())
        await asyncio.wait_for(listening.wait(), 20)
        started = (await client.post("/training-runs", json={"kind": "refit"}, headers=operator)).json()
        await eventually(lambda: seen == [(started["id"], "queued")], what="news of the run")
        path = f"/training-runs/{started['id']}"
        cancelled = await client.post(f"{path}/cancellation", headers=operator)
        assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
        again = await client.post(f"{path}/cancellation", headers=operator)
        assert (again.status_code, again.json()["code"]) == (409, "run-ended")
        await eventually(lambda: len(seen) >= 2, what="news of its end")
        follower.cancel()
        await asyncio.gather(follower, return_exceptions=True)
    assert seen[-1] == (started["id"], "cancelled")
    assert {run_id for run_id, _ in seen} == {started["id"]}
