"""The story over TLS, in a stack of these tests' own."""

import asyncio
import json
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiomqtt
import httpx
import pytest

from laundry.demo.client import until
from laundry.demo.photos import sample_photos
from laundry.demo.story import Story, failing
from tests.stack.conftest import laundry

pytestmark = [pytest.mark.stack, pytest.mark.servers, pytest.mark.timeout(420)]


@pytest.fixture(scope="module")
def stack_folder(encrypted_folder: Path) -> Path:
    return encrypted_folder


@pytest.fixture(scope="module")
def stack(encrypted_stack: dict[str, Any]) -> dict[str, Any]:
    return encrypted_stack


def test_no_address_of_the_broker_is_plain(stack: dict[str, Any]) -> None:
    urls = [*stack["amqp_urls"], *stack["management_urls"], stack["mqtt_url"]]
    assert {urlsplit(url).scheme for url in urls} == {"amqps", "https", "mqtts"}
    assert all(f"cafile={stack['tls']['ca_file']}" in url for url in stack["amqp_urls"])


async def test_a_washer_reports_by_mqtt_over_tls_and_the_owners_phone_rings(
    story: Story, stack: dict[str, Any], stack_folder: Path
) -> None:
    await story.register_phones()
    washer = story.washer
    issued = await asyncio.to_thread(laundry, stack_folder, "tls", "issue", washer.name)
    context = ssl.create_default_context(cafile=stack["tls"]["ca_file"])
    address = urlsplit(stack["mqtt_url"])

    def client() -> aiomqtt.Client:
        return aiomqtt.Client(
            str(address.hostname),
            address.port or 8883,
            identifier=washer.name,
            username=washer.name,
            password=washer.token,
            protocol=aiomqtt.ProtocolVersion.V5,
            tls_context=context,
            timeout=10,
        )

    with pytest.raises(aiomqtt.MqttError):
        async with client():
            pass
    context.load_cert_chain(issued.stdout.strip())
    async with client() as connection:
        body = json.dumps({"samples": [failing(washer, story.branch)]})
        await connection.publish(f"telemetry/{washer.name}", body, qos=1, timeout=10)
    phone = story.phone_of(story.owner)
    (push, *_), _ = await until(lambda: story.services.pushes(phone), within_s=60, what="the push")
    assert "E21" in push["title"] + push["body"]


async def test_every_certificate_is_renewed_while_photos_are_uploaded_and_read(
    story: Story, stack: dict[str, Any], stack_folder: Path
) -> None:
    def days_left() -> dict[str, int]:
        shown = laundry(stack_folder, "tls", "show", "--json")
        assert shown.returncode == 0, shown.stderr
        found = json.loads(shown.stdout)["listeners"]
        assert found
        return {each["name"]: each["days_left"] for each in found}

    async def rotate(*options: str) -> None:
        done = await asyncio.to_thread(laundry, stack_folder, "tls", "rotate", *options)
        assert done.returncode == 0, done.stdout + done.stderr

    async def upload() -> None:
        # Until the renewals are over, and at least a few.
        while not rotating.done() or len(story.tasks) < 5:
            await story.upload(sample_photos(1, seed=len(story.tasks)), lambda: None)
            await asyncio.sleep(0.2)

    async def renewals() -> None:
        await rotate("--days", "30")
        assert set((await asyncio.to_thread(days_left)).values()) == {29}
        await rotate("--authority")
        await rotate("--finish")

    rotating = asyncio.create_task(renewals())
    await asyncio.gather(rotating, upload())
    assert set((await asyncio.to_thread(days_left)).values()) == {89}
    await story.wait_for_readings({}, lambda: None)
    assert {task["status"] for task in story.tasks} == {"read"}
    # Whoever connects from now on shows and trusts the new ones.
    verified = await asyncio.to_thread(laundry, stack_folder, "topology", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    restarted = await asyncio.to_thread(laundry, stack_folder, "restart", "ai-consumer-1")
    assert restarted.returncode == 0, restarted.stdout + restarted.stderr
    story.tasks = []
    await story.upload(sample_photos(2, seed=1000), lambda: None)
    await story.wait_for_readings({}, lambda: None)
    assert [task["status"] for task in story.tasks] == ["read", "read"]


async def test_when_certificates_end_is_a_metric(stack: dict[str, Any]) -> None:
    async def told(service: str) -> dict[str, float]:
        async with httpx.AsyncClient(timeout=30) as client:
            lines = (await client.get(stack["metrics_urls"][service])).text.splitlines()
        name = "laundry_certificate_expiry_timestamp_seconds{"
        return {line.split('"')[1]: float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name)}

    assert set(await told("helper")) == {"client helper"}
    urls = [*stack["amqp_urls"], *stack["management_urls"], stack["mqtt_url"]]
    listeners = {f"{urlsplit(url).hostname}:{urlsplit(url).port}" for url in urls}
    found = await told("operations")
    assert listeners | {"client operations"} <= found.keys()
    assert all(ends > 1_700_000_000 for ends in found.values())
