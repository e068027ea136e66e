"""A new model reaches every replica and no other service notices (DD-02 DG-03); a forged one reaches none."""

import json
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import IncompleteReadError, ResponseStreamingError

from laundry.demo.client import People, Services, StoryFailed, until
from laundry.files import read_json
from laundry.learn.photos import drawn
from laundry.learn.story import Learning
from laundry.paths import StackPaths
from laundry.servers.addresses import ObjectStoreAddress
from laundry_reading.signing import FIELD, SigningKey, TrustedKeys
from laundry_reading.storage import CHAMPION_KEY
from laundry_testing import s3
from tests.stack.conftest import laundry

pytestmark = [pytest.mark.stack, pytest.mark.servers, pytest.mark.timeout(420)]

OTHERS = ("helper", "notification", "notification-faults", "search", "monitoring", "web")


def lives(folder: Any) -> dict[str, tuple[int, float]]:
    """Process ids with their starts: neither is ever the same for another life."""
    document = read_json(StackPaths(folder).stack_file)
    assert document is not None
    return {
        name: (pid, psutil.Process(pid).create_time())
        for name, pid in document["pids"].items()
        if name in OTHERS
    }


async def test_a_model_is_learnt_served_by_all_and_taken_back_without_anybody_else(
    services: Services, people: People, stack: dict[str, Any], stack_folder: Any
) -> None:
    before = lives(stack_folder)
    assert set(before) == set(OTHERS)
    story = Learning(services, people, StackPaths(stack_folder), ["1"])
    champion = (await story.champion())["version"]
    shots = drawn()[::3]
    tasks = await story.read(shots, None, lambda _: None)
    await story.confirm(tasks, [shot.label for shot in shots], story.owner, lambda _: None)
    run, _ = await story.retrain(lambda _: None)
    assert run["model_version"], run
    log = await services.json("GET", "mlops", f"/training-runs/{run['id']}/log", who=story.operator)
    assert len(log["items"]) > 3
    if not run["decision"]["promoted"]:
        path = f"/models/{run['model_version']}/promotion"
        reason = {"override_reason": "drawn photos say little; this is a rehearsal"}
        await services.json("POST", "mlops", path, who=story.operator, json=reason)
    assert (await story.served_by_all(run["model_version"]))[0] == 3
    (read,) = await story.read(shots[:1], None, lambda _: None)
    assert read["reading"]["model_version"] == run["model_version"]
    assert await story.roll_back() == champion
    assert lives(stack_folder) == before


async def test_who_can_write_to_the_bucket_does_not_decide_what_replicas_serve(
    services: Services, people: People, stack: dict[str, Any], stack_folder: Path
) -> None:
    operator = people.person("operator", "op-1")
    address = stack["s3"]
    bucket = s3.client(
        ObjectStoreAddress(address["endpoint_url"], address["access_key"], address["secret_key"])
    )

    def told() -> bytes:
        while True:
            try:
                return bucket.get_object(Bucket=address["bucket"], Key=CHAMPION_KEY)["Body"].read()
            except (IncompleteReadError, ResponseStreamingError, bucket.exceptions.NoSuchKey):
                continue  # the local store writes in place, and this was read meanwhile

    async def replicas() -> list[dict[str, Any]]:
        try:
            page = await services.json("GET", "mlops", "/models/replicas", who=operator)
        except StoryFailed as error:
            if "answered 503" not in str(error):
                raise
            return []  # what a replica says is being written anew just now
        items: list[dict[str, Any]] = page["items"]
        return items

    # As it was written before models were signed, and as anybody could write it.
    document = json.loads(told())
    del document[FIELD]
    unsigned = json.dumps(document).encode()

    async def refused_by_all() -> bool:
        if told() != unsigned:  # mlops mends it once a minute
            bucket.put_object(Bucket=address["bucket"], Key=CHAMPION_KEY, Body=unsigned)
        seen = await replicas()
        return len(seen) == 3 and all(
            each["refused"] and "not signed" in each["refused"]["why"] and each["in_step"] for each in seen
        )

    await until(refused_by_all, within_s=60, what="the refusal of an unsigned champion by all replicas")
    restarted = laundry(stack_folder, "restart", "mlops")
    assert restarted.returncode == 0, restarted.stderr

    async def accepted_by_all() -> bool:
        seen = await replicas()
        return len(seen) == 3 and all(not each["refused"] and each["in_step"] for each in seen)

    await until(accepted_by_all, within_s=60, what="the champion signed again")
    kept = read_json(StackPaths(stack_folder).secrets_file)
    assert kept is not None
    trusted = TrustedKeys([SigningKey.parse(kept["model_signing_key"]).public])
    assert trusted.open(told(), "champion").version == document["version"]
