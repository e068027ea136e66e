"""Telemetry as fast as it goes, over HTTP in batches and over MQTT one by one, with a fault among it."""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx

from laundry_events.dsn import plain_dsn
from laundry_lab.bench import alerts
from laundry_lab.bench.figures import Figure
from laundry_lab.bench.stage import NotMeasured, Stage
from laundry_servers.raw_mqtt import RawMqtt, raw_mqtt

MACHINES = 50
BATCH = 100
BURST = 1000
"""Samples that monitoring takes of one machine at once (``LAUNDRY_DEVICE_BURST``)."""

MESSAGES = 200
SENDERS = 8
TAKEN_S = 90.0
LOOK_EVERY_S = 0.1
FAULT_S = 1.0
HTTP = f"Telemetry over HTTP, {BATCH} samples a request"
MQTT = "Telemetry over MQTT, a sample a message, QoS 1"
COUNT = "SELECT count(*) FROM sample WHERE branch_id = $1"

Send = Callable[[], Coroutine[Any, Any, float]]


async def measure(stage: Stage) -> list[Figure]:
    """Measure both ways; while each is busy a machine of another branch breaks."""
    found = await _measured(stage, HTTP, 5000, lambda: _by_http(stage))
    if stage.document.get("mqtt_url"):
        found += await _measured(stage, MQTT, 2000, lambda: _by_mqtt(stage))
    return found


async def _measured(stage: Stage, group: str, target: float, send: Send) -> list[Figure]:
    used, own = stage.processor_s("monitoring"), time.process_time()
    sending = asyncio.create_task(send())
    try:
        # In the middle of it.
        await asyncio.sleep(LOOK_EVERY_S)
        rang = await alerts.times(stage, "a fault meanwhile → push", faults=3)
        busy = not sending.done()
        rate = await sending
    finally:
        sending.cancel()
    used, own = stage.processor_s("monitoring") - used, time.process_time() - own
    note = "POST to FCM's received_at" + ("" if busy else "; the last one came after the samples")
    return [
        Figure(group, "samples stored a second", rate, "/s", target, at_most=False),
        Figure(group, "a fault meanwhile, slowest", max(rang), "s", FAULT_S, note=note),
        Figure(group, "processor time of monitoring, of this client", used, "s", note=f"and {own:.1f} s"),
    ]


def _samples(machine: str, branch: str, number: int) -> list[dict[str, object]]:
    """Return the last minute of a machine that is well."""
    began = datetime.now(UTC) - timedelta(minutes=1)
    return [
        {
            "equipment_id": machine,
            "branch_id": branch,
            "kind": "washer",
            "recorded_at": (began + timedelta(milliseconds=50 * each)).isoformat(),
            "metrics": {"temperature_celsius": 60.0, "spin_rpm": 800},
        }
        for each in range(number)
    ]


def _body(samples: list[dict[str, object]]) -> bytes:
    return json.dumps({"samples": samples}).encode()


async def _by_http(stage: Stage) -> float:
    """Send batches of all machines, each machine's in order; returns samples a second."""
    branch, batches = stage.branch("http"), stage.many(BURST // BATCH, grows=False)
    machines = [f"bench-http-{stage.run}-{number}" for number in range(MACHINES)]
    waiting = []
    for machine in machines:
        samples = _samples(machine, branch, batches * BATCH)
        bodies = [_body(samples[first : first + BATCH]) for first in range(0, len(samples), BATCH)]
        waiting.append((stage.headers("device", branch, subject=machine), bodies))
    advance = stage.say("telemetry over HTTP", MACHINES * batches)

    async def sender(client: httpx.AsyncClient) -> None:
        while waiting:
            headers, bodies = waiting.pop()
            for body in bodies:
                answer = await client.post("/telemetry", content=body, headers=headers)
                if answer.status_code != 202 or answer.json()["accepted"] != BATCH:
                    raise NotMeasured(f"telemetry: {answer.status_code} {answer.text[:150]}")
                advance(1)

    async with stage.client("monitoring") as client:
        began = time.monotonic()
        async with asyncio.TaskGroup() as senders:
            for _ in range(SENDERS):
                senders.create_task(sender(client))
        took = time.monotonic() - began
        await _retire(stage, client, machines)
    return MACHINES * batches * BATCH / took


async def _by_mqtt(stage: Stage) -> float:
    """Let each machine publish on a connection of its own; returns samples stored a second."""
    branch, number = stage.branch("mqtt"), min(BURST, stage.many(MESSAGES))
    machines = [f"bench-mqtt-{stage.run}-{each}" for each in range(MACHINES)]
    advance = stage.say("telemetry over MQTT", MACHINES * number)
    async with AsyncExitStack() as stack:
        clients = []
        for machine in machines:
            token = stage.identity.mint(role="device", branches=[branch], subject=machine, seconds=3600)
            login = raw_mqtt(stage.document["mqtt_url"], machine, machine, token, tls=stage.tls)
            clients.append((await stack.enter_async_context(login), machine))
        bodies = {
            machine: [_body([sample]) for sample in _samples(machine, branch, number)] for machine in machines
        }

        async def publish(client: RawMqtt, machine: str) -> None:
            for body in bodies[machine]:
                if not await client.publish(f"telemetry/{machine}", body):
                    raise NotMeasured("telemetry: the broker took no more of a machine")
                advance(1)

        began = time.monotonic()
        async with asyncio.TaskGroup() as publishing:
            for client, machine in clients:
                publishing.create_task(publish(client, machine))
        await _stored(stage, branch, MACHINES * number)
        took = time.monotonic() - began
    async with stage.client("monitoring") as monitoring:
        await _retire(stage, monitoring, machines)
    return MACHINES * number / took


async def _stored(stage: Stage, branch: str, expected: int) -> None:
    within_s = stage.patience_s(TAKEN_S)
    deadline = time.monotonic() + within_s
    database = await asyncpg.connect(plain_dsn(stage.document["postgres_urls"]["monitoring"]), timeout=10)
    try:
        while (there := await database.fetchval(COUNT, branch, timeout=10)) < expected:
            if time.monotonic() > deadline:
                raise NotMeasured(f"telemetry: {there} of {expected} samples stored within {within_s:.0f} s")
            await asyncio.sleep(LOOK_EVERY_S)
    finally:
        await database.close(timeout=2)


async def _retire(stage: Stage, client: httpx.AsyncClient, machines: list[str]) -> None:
    """Forget the machines, or they would be reported as silent."""
    for machine in machines:
        await client.delete(f"/equipment/{machine}", headers=stage.headers("operator"))
