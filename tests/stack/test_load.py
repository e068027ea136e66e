"""The load generator against the whole stack: what it promises to show, it shows."""

import io
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from laundry.demo.photos import draw_garment
from laundry.paths import StackPaths
from laundry_servers.identity import LocalIdentity
from laundry_testing.messaging import eventually

from .conftest import laundry

pytestmark = [pytest.mark.stack, pytest.mark.servers, pytest.mark.timeout(240)]


def test_a_helper_that_stands_still_for_two_seconds_shows_and_loses_nothing(
    stack: dict[str, Any], stack_folder: Path, tmp_path: Path
) -> None:
    even = ("--rate", "20", "--for", "5", "--even", "--connections", "2", "--hold", "helper")
    done = laundry(stack_folder, "load", "steady", *even, "--output", str(tmp_path), timeout_s=200)
    assert done.returncode == 1, done.stdout + done.stderr
    found = json.loads((tmp_path / "load-steady.json").read_text())
    figures = found["figures"]
    assert figures["p99"] >= 1900
    assert (figures["failed"], figures["dropped"], figures["lost"]) == (0, 0, 0)
    assert figures["accepted"] == len(found["effects"]) == 100
    assert [what for _, what in found["marks"]] == ["helper stopped for 2 s"]
    # The generator may have ended before the last sample.
    seen = {process for sample in found["samples"] for process in sample["processor"]}
    assert {"helper", "ai-consumer", "rabbitmq", "load generator"} <= seen
    assert found["surroundings"]["servers"].keys() == {"RabbitMQ", "PostgreSQL"}
    assert "helper stopped for 2 s" in (tmp_path / "load-steady.html").read_text()


def test_batches_go_to_the_helper_and_straight_to_the_broker(
    stack: dict[str, Any], stack_folder: Path, tmp_path: Path
) -> None:
    bounds = [f"--threshold={each}" for each in ("failed<=0", "dropped<=0", "lost<=0")]
    for name, *more in (
        ("load-spike-batch", "--number", "22", "--for", "2", "--batch", "5"),
        ("load-spike-straight-batch", "--number", "203", "--for", "2", "--batch", "10", "--straight"),
    ):
        options = (*more, *bounds, "--output", str(tmp_path))
        done = laundry(stack_folder, "load", "spike", *options, timeout_s=100)
        assert done.returncode == 0, done.stdout + done.stderr
        found = json.loads((tmp_path / f"{name}.json").read_text())
        assert found["figures"]["accepted"] == len(found["effects"]) == int(more[1])


async def test_a_preview_says_what_the_reading_says_then(stack: dict[str, Any], stack_folder: Path) -> None:
    identity = LocalIdentity(StackPaths(stack_folder).identity)
    token = identity.mint(role="helper", branches=("previews",), subject="helper-1", seconds=300)
    photo = draw_garment("pants", seed=3)
    form: Any = {"data": {"branch_id": "previews"}, "files": {"photo": ("a.jpg", photo)}}
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=stack["helper_url"], timeout=30, headers=headers) as client:

        async def previewed() -> httpx.Response | None:
            answer = await client.post("/previews", **form)
            # Readers give way to everything else on a busy machine; then it says so, and one asks again.
            assert answer.status_code in (200, 503, 504), answer.text
            return answer if answer.is_success else None

        preview: httpx.Response = await eventually(previewed, within_s=120, what="a preview in time")
        assert (await client.get("/tasks")).json()["items"] == []
        task = (await client.post("/tasks", **form)).json()["id"]

        async def read() -> Any:
            return (await client.get(f"/tasks/{task}")).json()["reading"]

        reading = await eventually(read, what="the reading")
    assert preview.json()["labels"] == reading["labels"]


async def test_a_batch_goes_through_the_pages_proxy(stack: dict[str, Any], stack_folder: Path) -> None:
    identity = LocalIdentity(StackPaths(stack_folder).identity)
    token = identity.mint(role="helper", branches=("batches",), subject="helper-1", seconds=60)
    file = io.BytesIO()
    Image.new("RGB", (320, 240), (10, 90, 200)).save(file, "JPEG")
    async with httpx.AsyncClient(base_url=stack["web_url"], timeout=30) as client:
        answer = await client.post(
            "/api/helper/tasks/batch",
            headers={"Authorization": f"Bearer {token}"},
            data={"branch_id": "batches", "key": ["one", "two"]},
            files=[("photo", ("a.jpg", file.getvalue())), ("photo", ("b.pdf", b"%PDF-1.7"))],
        )
    assert answer.status_code == 207, answer.text
    items = answer.json()["items"]
    assert [item["status"] for item in items] == [201, 415]
    assert items[1]["problem"]["code"] == "photo-is-pdf"
