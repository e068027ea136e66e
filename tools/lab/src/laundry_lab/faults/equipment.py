"""Washers that break: one reports by HTTP, another by MQTT; neither gives up."""

import asyncio
import json
import secrets
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import aiomqtt
import httpx

from laundry_lab.faults.ledger import Alarm
from laundry_lab.faults.load import AGAIN_S, REQUEST_S, Load

BY_HTTP_EVERY_S = 2.0
BY_MQTT_EVERY_S = 4.0
MQTT_S = 5.0


async def break_by_http(load: Load) -> None:
    """Let a washer break every two seconds."""
    async with load.stage.client("monitoring") as client, asyncio.TaskGroup() as washers:
        while True:
            await load.goes_on()
            washers.create_task(load.counted(break_washer(load, client)))
            await asyncio.sleep(BY_HTTP_EVERY_S)


async def break_by_mqtt(load: Load) -> None:
    """Let a washer that speaks MQTT break every four seconds, where the broker offers it."""
    quieten(asyncio.get_running_loop())
    if not load.stage.document.get("mqtt_url"):
        return
    async with asyncio.TaskGroup() as washers:
        while True:
            await load.goes_on()
            washers.create_task(load.counted(break_mqtt_washer(load)))
            await asyncio.sleep(BY_MQTT_EVERY_S)


async def break_washer(load: Load, client: httpx.AsyncClient) -> Alarm:
    """Report a fault of a new washer, repeatedly until monitoring accepts it."""
    alarm = Alarm(f"washer-{secrets.token_hex(6)}", time.monotonic())
    body = _telemetry(load, alarm.equipment_id)
    while True:
        # A new token each time: the key may have been rotated.
        headers = load.stage.headers("device", load.branch, subject=alarm.equipment_id)
        with suppress(httpx.HTTPError, OSError):
            answer = await client.post("/telemetry", json=body, headers=headers, timeout=REQUEST_S)
            if answer.status_code == 202:
                load.ledger.alarmed(alarm)
                return alarm
        await asyncio.sleep(AGAIN_S)


def quieten(loop: asyncio.AbstractEventLoop) -> None:
    """Silence log lines about connections closed by the broker: faults cause dozens."""

    def heard(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not isinstance(context.get("exception"), aiomqtt.MqttError):
            loop.default_exception_handler(context)

    loop.set_exception_handler(heard)


async def break_mqtt_washer(load: Load) -> None:
    """Publish a fault at QoS 1 until the broker acknowledges it; a second copy is the same sample."""
    alarm = Alarm(f"mqtt-washer-{secrets.token_hex(6)}", time.monotonic())
    name = alarm.equipment_id
    body = json.dumps(_telemetry(load, name))
    address = urlsplit(load.stage.document["mqtt_url"])
    while alarm.taken_at is None:
        token = load.stage.identity.mint(role="device", branches=[load.branch], subject=name, seconds=3600)
        with suppress(aiomqtt.MqttError, OSError, TimeoutError):
            async with (
                asyncio.timeout(2 * MQTT_S),
                aiomqtt.Client(
                    address.hostname or "127.0.0.1",
                    address.port or 1883,
                    identifier=name,
                    username=name,
                    password=token,
                    protocol=aiomqtt.ProtocolVersion.V5,
                    tls_context=load.stage.tls,
                    timeout=MQTT_S,
                ) as client,
            ):
                await client.publish(f"telemetry/{name}", body, qos=1, timeout=MQTT_S)
                load.ledger.alarmed(alarm)
        if alarm.taken_at is None:
            await asyncio.sleep(AGAIN_S)


def _telemetry(load: Load, equipment: str) -> dict[str, Any]:
    sample = {
        "equipment_id": equipment,
        "branch_id": load.branch,
        "kind": "washer",
        "recorded_at": datetime.now(UTC).isoformat(),
        "fault_code": "E21",
        "metrics": {"temperature_celsius": 60.0},
    }
    return {"samples": [sample]}
