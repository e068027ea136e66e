"""A storm of ten devices: other branches' faults still ring at once, and no phone is flooded."""

import asyncio
import json
import secrets
import time
import uuid
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import urlsplit

import aiomqtt
import httpx

from laundry_events.envelope import encode
from laundry_events.events import EquipmentFault
from laundry_lab.faults.control_branch import control_branch_rings, failing, give_phone
from laundry_lab.faults.effects import alerts_of, rows
from laundry_lab.faults.load import REQUEST_S
from laundry_lab.faults.messages import opened_channel, publish
from laundry_lab.faults.world import Fault, Observation, World

DEVICES = 10
CODES = 50
EVENTS = 600
ROUNDS = 5
ELSEWHERE_S = 2.0
FLAPS_EVERY_S = 1.0
SAMPLES_A_SECOND = 10
PUSHES_AT_FIRST = 6
PUSHES_A_SECOND = 0.25
TOLD_S = 45.0
MQTT_S = 5.0
TOLD = """
SELECT count(*) AS faults, coalesce(sum(coalesce((data->>'count')::int, 1)), 0) AS troubles,
    count(*) FILTER (WHERE state = 'sent') AS sent
FROM notifications WHERE branch_id = $1
"""


async def storm(world: World) -> list[Observation]:
    """Let devices send as many faults as they can, some by MQTT, and one branch's events come uncapped."""
    mark = secrets.token_hex(4)
    branches = [f"faults-storm-{number}-{mark}" for number in range(DEVICES + 1)]
    for branch in branches:
        await give_phone(world, branch, _phone(branch))
    uncapped = branches[-1]
    began = time.monotonic()
    storming = [
        asyncio.create_task(_storm_by_mqtt(world, branch) if number % 2 else _storm_by_http(world, branch))
        for number, branch in enumerate(branches[:-1])
    ]
    events = asyncio.create_task(_publish(world, uncapped, EVENTS))
    try:
        await asyncio.sleep(1)
        took = [await control_branch_rings(world) for _ in range(ROUNDS)]
        await events
    finally:
        for task in (*storming, events):
            task.cancel()
        await asyncio.gather(*storming, events, return_exceptions=True)
    lasted = time.monotonic() - began
    rung = [seconds for seconds in took if seconds is not None]
    return [
        Observation(
            f"another branch's faults rang after {_seconds(took)}",
            len(rung) == ROUNDS and max(rung) <= ELSEWHERE_S,
        ),
        *await _told(world, branches, uncapped, lasted),
    ]


def _seconds(took: Iterable[float | None]) -> str:
    return ", ".join("never" if each is None else f"{each:.1f} s" for each in took)


async def _told(world: World, branches: list[str], uncapped: str, lasted: float) -> list[Observation]:
    """Compare what each phone shows last with the history."""

    async def agrees(branch: str) -> bool:
        row = (await rows(world.stage, "notification", TOLD, branch))[0]
        last = {data["tag"]: int(data["faults"]) for data in await alerts_of(world.stage, _phone(branch))}
        told = row["faults"] > 0 and row["sent"] == row["faults"]
        return bool(told and sum(last.values()) == row["troubles"])

    async def all_agree() -> bool:
        return all([await agrees(branch) for branch in branches])

    agree = await world.eventually(all_agree, TOLD_S, every_s=1)
    pushes = [len(await alerts_of(world.stage, _phone(branch))) for branch in branches]
    # Some at first, then one each five seconds, also after the storm until all is told.
    bound = PUSHES_AT_FIRST + PUSHES_A_SECOND * (lasted + TOLD_S)
    stored = (await rows(world.stage, "notification", TOLD, uncapped))[0]["faults"]
    return [
        Observation("the last alert of each phone says the true number", agree),
        Observation(f"all {EVENTS} faults of one branch stand in its history", stored == EVENTS),
        Observation(f"at most {max(pushes)} pushes on a phone in {lasted:.0f} s", max(pushes) <= bound),
    ]


def _phone(branch: str) -> str:
    return f"phone-{branch}"


async def _storm_by_http(world: World, branch: str) -> None:
    """Send fifty fault codes, then none, again and again; what is refused is the monitoring's affair."""
    device = f"storm-{branch}"
    headers = world.stage.headers("device", branch, subject=device)
    async with world.stage.client("monitoring") as client:
        while True:
            for codes in ([f"E{number}" for number in range(CODES)], [None]):
                body = {"samples": [failing(device, branch, code) for code in codes]}
                with suppress(httpx.HTTPError, OSError):
                    await client.post("/telemetry", json=body, headers=headers, timeout=REQUEST_S)
                await asyncio.sleep(FLAPS_EVERY_S)


async def _storm_by_mqtt(world: World, branch: str) -> None:
    """The same by MQTT, where the broker offers it."""
    if not world.stage.document.get("mqtt_url"):
        return await _storm_by_http(world, branch)
    device = f"storm-{branch}"
    token = world.stage.identity.mint(role="device", branches=[branch], subject=device, seconds=3600)
    address = urlsplit(world.stage.document["mqtt_url"])
    while True:
        with suppress(aiomqtt.MqttError, OSError, TimeoutError):
            async with aiomqtt.Client(
                address.hostname or "127.0.0.1",
                address.port or 1883,
                identifier=device,
                username=device,
                password=token,
                protocol=aiomqtt.ProtocolVersion.V5,
                tls_context=world.stage.tls,
                timeout=MQTT_S,
            ) as client:
                for number in range(CODES):
                    code = f"E{number}" if number % 5 else None
                    body = json.dumps({"samples": [failing(device, branch, code)]})
                    await client.publish(f"telemetry/{device}", body, qos=1, timeout=MQTT_S)
                    await asyncio.sleep(1 / SAMPLES_A_SECOND)
        await asyncio.sleep(FLAPS_EVERY_S)


async def _publish(world: World, branch: str, number: int) -> None:
    """Publish faults of one branch as if nothing before had capped them."""
    async with opened_channel(world) as channel:
        for each in range(number):
            fault = EquipmentFault(
                fault_id=str(uuid.uuid4()),
                equipment_id=f"washer-{each % 50}-{branch[-8:]}",
                branch_id=branch,
                kind="washer",
                cause="fault_code",
                fault_code=f"E{each}",
                detected_at=datetime.now(UTC),
            )
            event = encode(fault, source="/monitoring")
            await publish(channel, event.routing_key, event.body, event.headers, event.id)


FAULTS = (
    Fault("fault-storm", "push", "another branch's fault rings within 2 s; a storm is few pushes", storm),
)
