"""Full runs on real servers with a trainer that needs no torch; and what they need, torchless."""

import asyncio
import os
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest

from laundry_learning.artifacts import FIELDS, artifact_of
from laundry_reading.model import Model
from laundry_reading.storage import MAX_MODEL_BYTES, model_key
from laundry_service.storage.database import Database
from laundry_service.storage.object_store import ObjectStore
from laundry_testing.identity import FileIdentity
from laundry_testing.messaging import eventually
from laundry_testing.models import photo_of
from laundry_testing.serving import ready
from mlops import repository

from .conftest import Confirmed, stock

pytestmark = pytest.mark.servers

Service = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]
ENDED = {"succeeded", "failed", "cancelled"}


async def start(client: httpx.AsyncClient, headers: dict[str, str]) -> str:
    await ready(client)
    started = await client.post("/training-runs", json={"kind": "full"}, headers=headers)
    assert started.status_code == 201, started.text
    return str(started.headers["location"])


async def ended(client: httpx.AsyncClient, run: str, headers: dict[str, str]) -> tuple[Any, list[str]]:
    async def asked() -> Any:
        body = (await client.get(run, headers=headers)).json()
        return body if body["status"] in ENDED else None

    body = await eventually(asked, within_s=150, what="the end of the run")
    return body, await log_of(client, run, headers)


async def log_of(client: httpx.AsyncClient, run: str, headers: dict[str, str]) -> list[str]:
    return [line["text"] for line in (await client.get(f"{run}/log", headers=headers)).json()["items"]]


async def test_a_better_network_takes_over_with_all_that_belongs_beside_it(
    service: Service,
    training: Callable[[str], dict[str, Any]],
    database: Database,
    store: ObjectStore,
    identity: FileIdentity,
    confirmed: Confirmed,
    tmp_path: Path,
) -> None:
    operator = identity.bearer("operator")
    # A fifth stands aside, drawn by chance; of so many it is hardly ever fewer than the eight that judge.
    await stock(database, store, confirmed, 120)
    async with service(**training("good")) as client:
        run, log = await ended(client, await start(client, operator), operator)
        # The verdict is told first.
        folders = f"run-{run['id']}*"
        await eventually(lambda: not list((tmp_path / "work").glob(folders)), what="the end of its folder")
        model = (await client.get(f"/models/{run['model_version']}", headers=operator)).json()
        roles = (await client.get("/examples?limit=200", headers=operator)).json()["items"]
        # The new network is a root of its own: another run starts from it.
        again = await client.post("/training-runs", json={"kind": "full"}, headers=operator)
    assert (run["status"], run["error"], run["progress"]) == ("succeeded", None, 1.0)
    assert run["decision"]["promoted"] is True
    checks = {check["name"]: check for check in run["decision"]["checks"]}
    assert all(check["passed"] for check in checks.values())
    assert checks["holdout accuracy"]["figures"]["photos"] == 30
    assert (model["source"], model["champion"]) == ("full", True)
    assert model["metrics"]["top1"] > model["metrics"]["champion"]["top1"]
    # New examples either taught or stood aside to judge, none did both.
    aside = [each for each in roles if each["role"] == "judging"]
    taught = [each for each in roles if each["role"] == "learnt"]
    assert checks["own gain"]["figures"]["photos"] == len(aside) >= 8
    assert len(taught) + len(aside) == 120
    assert f"corrections: {len(taught)}, laid out: True, going on: False" in log
    assert "foreign settings: []" in log
    async with database.session() as session:
        row = await repository.get_model(session, run["model_version"])
    assert row is not None
    manifest = row.manifest
    file = await store.get(model_key(manifest), max_bytes=MAX_MODEL_BYTES)
    assert len(Model.load(file, sha256=manifest.sha256).priors) == model["lineage"]["branches_known"] == 1
    for field in FIELDS:
        entry = artifact_of(manifest, field)
        assert entry is not None
        assert entry.matches(await store.get(entry.key, max_bytes=MAX_MODEL_BYTES))
    assert again.status_code == 201


async def test_a_network_that_is_no_better_is_kept_with_its_verdict(
    service: Service,
    training: Callable[[str], dict[str, Any]],
    database: Database,
    store: ObjectStore,
    identity: FileIdentity,
    confirmed: Confirmed,
) -> None:
    operator = identity.bearer("operator")
    await stock(database, store, confirmed, 6)
    async with service(**training("same")) as client:
        run, _ = await ended(client, await start(client, operator), operator)
        model = (await client.get(f"/models/{run['model_version']}", headers=operator)).json()
    assert (run["status"], run["decision"]["promoted"]) == ("succeeded", False)
    assert [c["name"] for c in run["decision"]["checks"] if not c["passed"]] == ["own gain"]
    assert "too few new examples could stand aside" in " ".join(run["decision"]["reasons"])
    assert (model["champion"], model["verdict"]["against"]) == (False, "confused-1")
    # What six photos tell of their branch nothing has judged.
    assert model["lineage"]["branches_known"] == 0


@pytest.mark.parametrize("mode", ["unknown", "several"])
async def test_a_network_that_leaves_every_photo_to_people_does_not_take_over(
    mode: str,
    service: Service,
    training: Callable[[str], dict[str, Any]],
    database: Database,
    store: ObjectStore,
    identity: FileIdentity,
    confirmed: Confirmed,
) -> None:
    operator = identity.bearer("operator")
    await stock(database, store, confirmed, 60)
    # As good a network as any, that takes no photo for a garment, or each for several.
    async with service(**training(mode)) as client:
        run, _ = await ended(client, await start(client, operator), operator)
    assert (run["status"], run["decision"]["promoted"]) == ("succeeded", False)
    [failed] = [check for check in run["decision"]["checks"] if not check["passed"]]
    assert (failed["name"], failed["figures"]["accepted"]) == ("accepted", 0)
    assert failed["figures"]["champion_accepted"] > 0.5


async def test_a_killed_trainer_goes_on_with_the_same_work(
    service: Service,
    training: Callable[[str], dict[str, Any]],
    database: Database,
    store: ObjectStore,
    identity: FileIdentity,
    confirmed: Confirmed,
) -> None:
    operator = identity.bearer("operator")
    await stock(database, store, confirmed, 20)
    async with service(**training("die")) as client:
        run, log = await ended(client, await start(client, operator), operator)
    assert (run["status"], run["attempts"]) == ("succeeded", 2)
    assert any("trainer was killed by signal 9" in line for line in log)
    assert any("going on: True" in line for line in log)
    [said] = [line for line in log if line.startswith("began as")]
    first, last = said.removeprefix("began as ").split(", ends as ")
    assert first == last == run["model_version"]


@pytest.mark.parametrize(
    ("mode", "told"), [("refuse", "of another planet"), ("crash", "OSError: disk is full")]
)
async def test_a_trainer_that_fails_says_why(
    mode: str,
    told: str,
    service: Service,
    training: Callable[[str], dict[str, Any]],
    identity: FileIdentity,
    tmp_path: Path,
) -> None:
    operator = identity.bearer("operator")
    async with service(**training(mode)) as client:
        run, _ = await ended(client, await start(client, operator), operator)
    assert (run["status"], run["model_version"], run["attempts"]) == ("failed", None, 1)
    assert told in run["error"]
    assert not list((tmp_path / "work").iterdir())


async def test_cancelling_ends_the_trainer_too(
    service: Service, training: Callable[[str], dict[str, Any]], identity: FileIdentity
) -> None:
    operator = identity.bearer("operator")
    async with service(**training("wait")) as client:
        run = await start(client, operator)

        async def trainer() -> int | None:
            found = [re.fullmatch(r"pid (\d+)", line) for line in await log_of(client, run, operator)]
            return next((int(each[1]) for each in found if each), None)

        pid = await eventually(trainer, within_s=60, what="the trainer")
        assert (await client.post(f"{run}/cancellation", headers=operator)).status_code == 200
        await eventually(lambda: not _alive(pid), what="the trainer's end")
        assert (await client.get(run, headers=operator)).json()["status"] == "cancelled"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False


async def test_other_photos_than_those_that_judged_the_champion_are_refused(
    service: Service, training: Callable[[str], dict[str, Any]], identity: FileIdentity, photos: Path
) -> None:
    operator = identity.bearer("operator")
    settings = training("good")
    for number in (0, 7):
        replaced = photos / "clothing" / f"{number}.jpg"
        await asyncio.to_thread(replaced.write_bytes, photo_of("pants", size=(40, 40), seed=9000 + number))
    async with service(**settings) as client:
        run, _ = await ended(client, await start(client, operator), operator)
    assert run["status"] == "failed"
    assert "2 of the 30 photos that judge the champion are not in" in run["error"]
