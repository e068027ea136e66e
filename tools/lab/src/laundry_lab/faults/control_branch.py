"""The control: a branch that the fault does not concern, whose owner's phone must ring as always."""

import asyncio
import secrets
import time
from datetime import UTC, datetime

from laundry_lab.faults.effects import alerts_of
from laundry_lab.faults.load import AGAIN_S, REQUEST_S
from laundry_lab.faults.world import World

PUSH_S = 15.0
POLL_S = 0.02


async def control_branch_rings(world: World, *, within_s: float = PUSH_S) -> float | None:
    """Break a washer of a branch of its own; returns the seconds until its owner's phone rings.

    Returns:
        ``None`` if it did not ring in time.
    """
    mark = secrets.token_hex(4)
    branch, phone = f"faults-calm-{mark}", f"faults-calm-phone-{mark}"
    await give_phone(world, branch, phone)
    washer = f"washer-{mark}"
    body = {"samples": [failing(washer, branch, "E21")]}
    headers = world.stage.headers("device", branch, subject=washer)
    async with world.stage.client("monitoring") as client:
        while True:
            began = time.monotonic()
            answer = await client.post("/telemetry", json=body, headers=headers, timeout=REQUEST_S)
            if answer.is_success:
                break
            await asyncio.sleep(AGAIN_S)
    while time.monotonic() - began < within_s:
        if await alerts_of(world.stage, phone):
            return time.monotonic() - began
        await asyncio.sleep(POLL_S)
    return None


async def give_phone(world: World, branch: str, phone: str) -> None:
    """Register a phone of a branch's owner."""
    headers = world.stage.headers("owner", branch, subject=f"owner-of-{branch}")
    async with world.stage.client("notification") as client:
        asked = {"token": phone, "platform": "android"}
        (await client.post("/devices", json=asked, headers=headers)).raise_for_status()


def failing(equipment: str, branch: str, code: str | None) -> dict[str, object]:
    """Make a sample of a washer, with a fault code or without."""
    return {
        "equipment_id": equipment,
        "branch_id": branch,
        "kind": "washer",
        "recorded_at": datetime.now(UTC).isoformat(),
        **({"fault_code": code} if code is not None else {}),
        "metrics": {"temperature_celsius": 60.0},
    }
