"""Latency from a fault's sample to the push that FCM, or a browser's push service, receives."""

import asyncio
import secrets
import time
from datetime import UTC, datetime
from typing import Any

import httpx

from laundry_lab.bench.figures import Figure
from laundry_lab.bench.stage import NotMeasured, Stage
from laundry_lab.report import percentile

FAULTS = 20
PUSH_DEADLINE_S = 15.0
POLL_S = 0.01
GROUP = "Fault → push, nothing else to do"
BROWSERS_GROUP = "Fault → Web Push, nothing else to do"


async def measure(stage: Stage) -> list[Figure]:
    """Measure faults one after another on an idle stack, first to phones, then to browsers."""
    phones = await times(stage, "fault → push")
    browsers = await times(stage, "fault → Web Push", to_browsers=True)
    return [
        *figures(GROUP, phones, p99_ms=1000),
        *figures(BROWSERS_GROUP, browsers, p99_ms=1000, until="the push service's received_at, decrypted"),
    ]


def figures(
    group: str, seconds: list[float], *, p99_ms: float, until: str = "FCM's received_at"
) -> list[Figure]:
    """Make the figures of these push latencies, in seconds."""
    mean = sum(seconds) / len(seconds)
    return [
        Figure(group, "mean", mean * 1000, "ms", 3000, note=f"{len(seconds)} faults, POST to {until}"),
        Figure(group, "p99", percentile(seconds, 0.99) * 1000, "ms", p99_ms, note="of so few, the slowest"),
    ]


async def times(stage: Stage, title: str, *, faults: int = FAULTS, to_browsers: bool = False) -> list[float]:
    """Break equipment ``faults`` times, one after another, and wait for each push. Returns seconds.

    Each in its own branch: a further fault of the same branch would only update its alert.

    Raises:
        NotMeasured: a push did not come within 15 s, which DD-02 promises.
    """
    number = stage.many(faults, least=3)
    advance = stage.say(title, number)
    found = []
    async with stage.client("notification") as notification, stage.client("monitoring") as monitoring:
        for _ in range(number):
            found.append(await _once(stage, notification, monitoring, to_browser=to_browsers))
            advance(1)
    return found


async def subscribe(stage: Stage, notification: httpx.AsyncClient, owner: dict[str, str]) -> str:
    """Subscribe a browser at the local push service and register it; returns its endpoint."""
    offered = (await notification.get("/devices/web-push/key", headers=owner)).raise_for_status().json()
    async with stage.client("fcm") as push_service:
        asked = {"applicationServerKey": offered["public_key"]}
        made = await push_service.post("/web-push/subscriptions", json=asked)
    subscription = made.raise_for_status().json()
    answer = await notification.post("/devices/web-push/subscriptions", json=subscription, headers=owner)
    answer.raise_for_status()
    endpoint: str = subscription["endpoint"]
    return endpoint


async def _once(
    stage: Stage, notification: httpx.AsyncClient, monitoring: httpx.AsyncClient, *, to_browser: bool
) -> float:
    """Give a branch's owner a phone or browser, break a washer, and wait for the push. Returns seconds."""
    mark = secrets.token_hex(4)
    branch = stage.branch(f"fault-{mark}")
    equipment = f"bench-{stage.run}-{mark}"
    owner = stage.headers("owner", branch, subject=f"bench-owner-{mark}")
    if to_browser:
        device = await subscribe(stage, notification, owner)
    else:
        device = f"bench-phone-{stage.run}-{mark}"
        asked = {"token": device, "platform": "android"}
        (await notification.post("/devices", json=asked, headers=owner)).raise_for_status()
    try:
        began = await _break(stage, monitoring, equipment, branch)
        push = await _pushed(stage, device)
        # Equipment the run registered must not raise silence faults afterwards.
        await monitoring.delete(f"/equipment/{equipment}", headers=stage.headers("operator"))
    finally:
        await notification.delete("/devices", params={"token": device}, headers=owner)
    return (datetime.fromisoformat(push["received_at"]) - began).total_seconds()


async def _break(stage: Stage, monitoring: httpx.AsyncClient, equipment: str, branch: str) -> datetime:
    """Report a fault code; returns when."""
    sender = stage.headers("device", branch, subject=equipment)
    began = datetime.now(UTC)
    sample = {
        "equipment_id": equipment,
        "branch_id": branch,
        "kind": "washer",
        "recorded_at": began.isoformat(),
        "fault_code": "E21",
        "metrics": {"temperature_celsius": 60.0},
    }
    answer = await monitoring.post("/telemetry", json={"samples": [sample]}, headers=sender)
    if answer.status_code != 202:
        raise NotMeasured(f"fault → push: {answer.status_code} {answer.text[:150]}")
    return began


async def _pushed(stage: Stage, device: str) -> dict[str, Any]:
    deadline = time.monotonic() + PUSH_DEADLINE_S
    async with stage.client("fcm") as fcm:
        while time.monotonic() < deadline:
            messages = (await fcm.get("/messages", params={"token": device})).json()
            if messages:
                found: dict[str, Any] = messages[0]
                return found
            await asyncio.sleep(POLL_S)
    raise NotMeasured(f"fault → push: no push within {PUSH_DEADLINE_S:.0f} s")
