"""A person who was everything to the system is exported, forgotten, and found nowhere any more."""

import asyncio
import io
import json
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from PIL import Image

from helper.settings import Settings as HelperSettings
from laundry.demo.client import People, Services, until
from laundry_events.topology import HISTORY, PLAN
from laundry_servers.addresses import ObjectStoreAddress
from laundry_testing.traces import in_bucket, in_database, in_files, in_queues, in_stream
from operations.settings import Settings as OperationsSettings
from tests.stack.conftest import laundry

pytestmark = [pytest.mark.stack, pytest.mark.servers, pytest.mark.timeout(420)]

QUEUES = [
    name
    for queue in PLAN.queues
    if queue.dead is not None
    for name in (queue.name, queue.dead, *(retry for retry, _ in queue.retries))
]


def telling(name: str) -> bytes:
    """A photo whose file says whose phone took it, and where."""
    exif = Image.Exif()
    exif[0x013B], exif[0xA431] = name, f"SERIAL-{name}"
    exif.get_ifd(0x8825)[1] = f"N 37 33 {name}"
    file = io.BytesIO()
    Image.effect_noise((640, 480), 60).convert("RGB").save(file, "JPEG", exif=exif)
    return file.getvalue()


async def run(folder: Path, *arguments: str) -> str:
    done = await asyncio.to_thread(laundry, folder, *arguments)
    assert done.returncode == 0, done.stderr + (folder / "log/monitoring.log").read_text()[-6000:]
    return done.stdout


@pytest_asyncio.fixture
async def hurry(stack: dict[str, Any], stack_folder: Path) -> AsyncIterator[None]:
    """Erase and delete at once; the stack is as before for other tests."""

    async def wait(token_life: float, check: float, photos: float) -> None:
        for process, settings in (
            ("operations", {"ERASURE_TOKEN_LIFE_S": token_life, "ERASURE_CHECK_S": check}),
            ("helper", {"PHOTO_RETENTION_EVERY_S": photos}),
        ):
            pairs = (f"LAUNDRY_{name}={value}" for name, value in settings.items())
            given = [word for pair in pairs for word in ("--set", pair)]
            await run(stack_folder, "restart", process, *given)

    try:
        await wait(1, 0.5, 0.5)
        yield
    finally:
        fields, photos = OperationsSettings.model_fields, HelperSettings.model_fields
        await wait(
            fields["erasure_token_life_s"].default,
            fields["erasure_check_s"].default,
            photos["photo_retention_every_s"].default,
        )


@pytest.mark.usefixtures("hurry")
async def test_a_person_is_found_in_no_table_object_queue_and_log_after_erasure(
    stack: dict[str, Any], stack_folder: Path, services: Services, people: People
) -> None:
    mark = secrets.token_hex(6)
    who, branch = f"kim-{mark}", f"b-{mark}"
    name, mail, words = f"Minji{mark}", f"minji.{mark}@example.org", f"수건{mark}"
    traces = [who, name, mail, words, f"phone-{mark}"]
    # Nobody who is denied something is in this story: logs keep who was, for as long as logs live.
    helper = people.person("helper", who, branch)
    owner = people.person("owner", who, branch)
    customer = people.person("customer", who)
    operator = people.person("operator", who)
    washer = people.person("device", f"washer-{mark[:4]}", branch)

    # A day of theirs.
    tasks = []
    for number in range(2):
        task = await services.json(
            "POST",
            "helper",
            "/tasks",
            who=helper,
            files={"photo": ("photo.jpg", telling(name), "image/jpeg")},
            data={"branch_id": branch, "note": f"{words} {mail}"},
            headers={"Idempotency-Key": f"{who}-{number}"},
        )
        tasks.append(task["id"])

    async def read(id_: str) -> bool:
        found = await services.json("GET", "helper", f"/tasks/{id_}", who=helper)
        return bool(found["status"] != "submitted")

    for id_ in tasks:
        await until(lambda id_=id_: read(id_), within_s=60, what="the reading")  # type: ignore[misc]
    confirmation = {"labels": [{"label": "shirt", "count": 1}]}
    await services.call("POST", "helper", f"/tasks/{tasks[0]}/confirmation", who=owner, json=confirmation)
    policy = {"keep_days": 30, "keep_features": True}
    await services.call("PUT", "helper", f"/photo-policies/{branch}", who=owner, json=policy)
    for person in (owner, customer):
        device = {"token": f"phone-{mark}-{secrets.token_hex(4)}", "platform": "android"}
        await services.call("POST", "notification", "/devices", who=person, json=device)
    tags = {f"tag-{mark}": 1.0}
    await services.call("PUT", "search", "/customers/me/preference", who=customer, json={"tags": tags})
    stated = {"tags": tags, "title": "Quiet", "text": "Quiet sauna from six."}
    await services.call("POST", "search", f"/branches/{branch}/preferences", who=owner, json=stated)
    sample = {
        "equipment_id": washer.name,
        "branch_id": branch,
        "kind": "washer",
        "recorded_at": datetime.now(UTC).isoformat(),
        "fault_code": "E21",
        "metrics": {},
    }
    await services.call("POST", "monitoring", "/telemetry", who=washer, json={"samples": [sample]})

    async def told() -> bool:
        history = await services.json("GET", "notification", "/notifications", who=owner)
        matches = await services.json("GET", "notification", "/notifications", who=customer)
        return bool(history["items"] and matches["items"])

    await until(told, within_s=60, what="what they are told")
    retired = f"/equipment/{washer.name}?branch_id={branch}&reason=scrapped"
    await services.call("DELETE", "monitoring", retired, who=operator)

    store = ObjectStoreAddress(
        **{key: stack["s3"][key] for key in ("endpoint_url", "access_key", "secret_key")}
    )

    async def everywhere() -> list[str]:
        found = []
        for url in stack["postgres_urls"].values():
            found += await in_database(url, traces)
        found += await in_queues(stack["amqp_urls"][0], QUEUES, traces)
        found += await in_stream(stack["amqp_urls"][0], HISTORY, traces)
        found += await asyncio.to_thread(in_bucket, store, stack["s3"]["bucket"], traces)
        return found + await asyncio.to_thread(in_files, stack_folder / "log", traces)

    exported = json.loads(await run(stack_folder, "people", "export", who))
    kinds = {service: set(part) for service, part in exported["services"].items()}
    assert kinds["helper"] == {"submissions", "tasks", "confirmations", "photo_policies"}
    assert kinds["mlops"] == {"examples"}
    assert {"devices", "notifications", "branches_seen"} <= kinds["notification"]
    assert kinds["search"] == {"tags", "tastes", "matches", "preferences"}
    assert kinds["monitoring"] == {"acts"}
    assert words in json.dumps(exported, ensure_ascii=False)
    before = await everywhere()
    assert {line.split(":")[0].split("/")[0] for line in before} > {
        "public.tasks",
        "public.devices",
        "photos",
    }

    asked = await run(stack_folder, "people", "erase", who, "--yes", "--wait")
    erasure_id = asked.split()[0]
    chief = people.person("operator", "operator-1")

    async def completed() -> Any:
        found = await services.json("GET", "operations", f"/people/erasures/{erasure_id}", who=chief)
        return found if found["state"] == "completed" else None

    done, _ = await until(completed, within_s=120, what="the end of the erasure")
    assert {part["service"] for part in done["parts"]} == {
        queue.consumer for queue in PLAN.takers("person.erased")
    }

    async def clean() -> bool:
        return not await everywhere()

    try:
        await until(clean, within_s=60, what="the last trace")
    finally:
        assert await everywhere() == []
    # The laundry is as it was: the load, what it was read as, what it was confirmed as, and its picture.
    other = people.person("owner", f"lee-{mark}", branch)
    task = await services.json("GET", "helper", f"/tasks/{tasks[0]}", who=other)
    assert task["status"] == "confirmed" and task["helper_id"] == task["confirmation"]["confirmed_by"]
    assert task["helper_id"].startswith("erased-") and task["note"] is None
    shown = await services.call("GET", "helper", f"/tasks/{tasks[0]}/photo", who=other)
    assert shown.headers["content-type"] == "image/jpeg"
    await run(stack_folder, "audit", "verify")
