"""The whole way through every service, as an outside client sees it."""

import asyncio
import io
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from PIL import Image

from laundry.demo.client import People, StoryFailed, until
from laundry.demo.pages import on_the_pages
from laundry.demo.photos import sample_photos
from laundry.demo.story import Story
from laundry.paths import StackPaths
from laundry_testing.otlp import Receiver
from tests.stack.conftest import installed_chromium, laundry

pytestmark = [pytest.mark.stack, pytest.mark.servers, pytest.mark.timeout(420)]


async def is_well(stack_folder: Path) -> bool:
    return (await asyncio.to_thread(laundry, stack_folder, "status")).returncode == 0


async def test_photos_are_read_and_a_correction_becomes_an_example(story: Story) -> None:
    before = await story.shares()
    await story.upload(sample_photos(3, seed=hash(story.mark)), lambda: None)
    await story.wait_for_readings(before, lambda: None)
    assert {task["status"] for task in story.tasks} == {"read"}
    for task in story.tasks:
        assert task["reading"]["model_version"]
        assert all(0 <= label["confidence"] <= 1 for label in task["reading"]["labels"])
    await story.correct_one()


async def test_a_fault_reaches_the_owners_phone_once(story: Story) -> None:
    await story.register_phones()
    await story.break_a_washer()
    (push,) = await story.services.pushes(story.phone_of(story.owner))
    assert "E21" in push["title"] + push["body"]
    history = await story.services.json("GET", "notification", "/notifications", who=story.owner)
    assert [item["kind"] for item in history["items"]] == ["equipment_fault"]


async def test_a_sensor_that_flaps_rings_the_phone_once(story: Story, people: People) -> None:
    await story.register_phones()
    began = datetime.now(UTC)

    def sample(name: str, seconds: float, code: str | None) -> dict[str, Any]:
        at = (began + timedelta(seconds=seconds)).isoformat()
        metrics = {"temperature_celsius": 60.0}
        told = {"equipment_id": name, "branch_id": story.branch, "kind": "washer", "recorded_at": at}
        return {**told, "metrics": metrics, **({"fault_code": code} if code else {})}

    operator = people.person("operator", "operator")
    for number in range(20):
        flap = sample("flapping", number / 100, "E1" if number % 2 == 0 else None)
        body = {"samples": [flap]}
        await story.services.call("POST", "monitoring", "/telemetry", who=operator, json=body)
    # What comes behind it on the same way tells when all of it has come.
    body = {"samples": [sample("last", 1, "E2")]}
    await story.services.call("POST", "monitoring", "/telemetry", who=operator, json=body)
    phone = story.phone_of(story.owner)

    async def told_of_both() -> Any:
        pushes = await story.services.pushes(phone)
        return [push for push in pushes if "last" in push["data"]["equipment_ids"].split(",")]

    (push, *_), _ = await until(told_of_both, within_s=story.patience_s, what="the push of the last fault")
    assert push["data"]["faults"] == "2"


async def test_only_customers_whom_a_branch_suits_hear_of_it(story: Story) -> None:
    await story.register_phones()
    await story.state_a_preference()


async def test_a_message_that_keeps_failing_ends_in_its_dead_letter_queue(
    story: Story, stack_folder: Path, spans: Receiver
) -> None:
    await story.fail_a_message()
    logs = "".join(file.read_text() for file in StackPaths(stack_folder).logs.glob("ai-consumer*.log"))
    said = next(json.loads(line) for line in logs.splitlines() if '"message dead"' in line)

    async def attempts() -> bool:
        found = [span for span in spans.trace(said["trace_id"]) if span.kind == "consumer"]
        return len(found) == 4 and said["span_id"] in {span.span_id for span in found}

    await until(attempts, within_s=30, what="four attempts in the trace that the log names")
    shown = await asyncio.to_thread(laundry, stack_folder, "dlq", "list")
    assert shown.returncode == 0, shown.stderr
    assert "task.submitted" in shown.stdout


async def test_a_photo_that_nobody_can_read_is_refused_at_once_with_the_reason(story: Story) -> None:
    picture = io.BytesIO()
    Image.effect_noise((400, 300), 40).save(picture, "PNG")
    body = picture.getvalue()
    start = body.index(b"IDAT") + 4
    # The structure stays intact, so that only decoding the pixels finds the damage.
    broken = body[:start] + b"\0\0" + body[start + 2 :]
    with pytest.raises(StoryFailed, match=r"answered 422.*photo-damaged"):
        await story.services.call(
            "POST",
            "helper",
            "/tasks",
            who=story.helper,
            files={"photo": ("broken.png", broken, "image/png")},
            data={"branch_id": story.branch},
        )


async def test_a_restarted_consumer_gets_a_new_pid_and_loses_nothing(
    story: Story, stack: dict[str, Any], stack_folder: Path
) -> None:
    from laundry_servers.files import read_json

    await story.upload(sample_photos(4, seed=hash(story.mark)), lambda: None)
    old = read_json(StackPaths(stack_folder).stack_file)
    assert old is not None
    psutil.Process(old["pids"]["ai-consumer-2"]).kill()
    await story.wait_for_readings({}, lambda: None)
    assert len(story.tasks) == 4

    async def replaced() -> bool:
        new = read_json(StackPaths(stack_folder).stack_file)
        return new is not None and new["pids"].get("ai-consumer-2") not in (
            None,
            old["pids"]["ai-consumer-2"],
        )

    await until(replaced, within_s=60, what="a new ai-consumer-2")
    await until(lambda: is_well(stack_folder), within_s=90, what="a healthy stack")


async def test_a_command_line_token_opens_the_door(stack: dict[str, Any], stack_folder: Path) -> None:
    made = await asyncio.to_thread(laundry, stack_folder, "token", "--role", "helper", "--branch", "b1")
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+\n", made.stdout), made
    headers = {"Authorization": f"Bearer {made.stdout.strip()}"}
    async with httpx.AsyncClient(headers=headers, timeout=10) as client:
        assert (await client.get(f"{stack['helper_url']}/tasks")).status_code == 200
        assert (await client.get(f"{stack['helper_url']}/tasks?branch_id=b2")).status_code == 403


async def test_every_process_answers_its_probes_and_the_status_says_so(
    stack: dict[str, Any], stack_folder: Path
) -> None:
    await until(lambda: is_well(stack_folder), within_s=90, what="a healthy stack")
    for url in (
        "helper_url",
        "monitoring_url",
        "search_url",
        "notification_url",
        "mlops_url",
        "operations_url",
        "web_url",
    ):
        async with httpx.AsyncClient(base_url=stack[url], timeout=30) as client:
            assert (await client.get("/livez")).status_code == 200, url
            # Nothing reachable from outside reveals internals.
            assert (await client.get("/metrics")).status_code == 404, url

            async def ready(client: httpx.AsyncClient = client) -> bool:
                # A check that takes two seconds on a busy machine counts as failed.
                return (await client.get("/readyz")).status_code == 200

            await until(ready, within_s=60, what=f"readiness at {url}")
    services = {name for name in stack["pids"] if not name.startswith(("rabbitmq", "postgres", "epmd"))}
    assert set(stack["metrics_urls"]) <= services
    assert {"helper", "web", "ai-consumer-1", "notification-faults"} <= set(stack["metrics_urls"])
    async with httpx.AsyncClient(timeout=30) as client:
        for url in stack["metrics_urls"].values():
            assert "laundry_http_connections" in (await client.get(url)).text, url


async def test_the_live_broker_is_as_planned(stack: dict[str, Any], stack_folder: Path) -> None:
    verified = await asyncio.to_thread(laundry, stack_folder, "topology", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.browser
async def test_people_are_invited_and_work_on_the_pages(story: Story, people: People) -> None:
    installed_chromium()
    day = await on_the_pages(story, people)
    path = f"/people?branch_id={day.branch}"
    found = await story.services.json("GET", "identity", path, who=day.operator)
    subs = {each["role"]: each["sub"] for each in found["items"]}
    assert subs.keys() == {"owner", "helper"}
    path = f"/tasks?branch_id={day.branch}"
    [task] = (await story.services.json("GET", "helper", path, who=day.witness))["items"]
    assert (task["status"], task["helper_id"]) == ("confirmed", subs["helper"])
    assert task["confirmation"]["confirmed_by"] == subs["owner"]
    assert len(story.lines) == 5
