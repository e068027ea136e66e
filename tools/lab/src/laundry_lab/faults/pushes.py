"""FCM refuses, is down, hangs, or has forgotten a phone; a push service of browsers is down."""

import asyncio
import time
from typing import Any

from laundry_lab.bench.alerts import subscribe
from laundry_lab.faults.effects import rang_for, shown
from laundry_lab.faults.equipment import break_washer
from laundry_lab.faults.world import Fault, Observation, World

PUSH_S = 15.0


async def _misbehave(world: World, control: dict[str, Any], seconds: float) -> list[Observation]:
    """Let FCM misbehave for a while; the alerts of that time must still be shown within 15 s."""
    async with world.stage.client("fcm") as fcm:
        world.load.ledger.said(f"FCM: {control}")
        (await fcm.put("/control", json=control)).raise_for_status()
        try:
            async with world.stage.client("monitoring") as client:
                alarm = await break_washer(world.load, client)
            await asyncio.sleep(seconds)
        finally:
            (await fcm.put("/control", json={})).raise_for_status()

    async def there() -> bool:
        return alarm.equipment_id in await rang_for(world.stage, world.load)

    in_time = await world.eventually(there, PUSH_S - (time.monotonic() - (alarm.taken_at or 0)) + 1)
    late = time.monotonic() - (alarm.taken_at or 0)
    return [Observation(f"the alert came {late:.1f} s after its fault", in_time)]


async def too_many(world: World) -> list[Observation]:
    """Let FCM answer 429 with Retry-After: no push may be sent sooner, none may be lost."""
    return await _misbehave(world, {"status": 429, "retry_after_seconds": 2}, 4)


async def unavailable(world: World) -> list[Observation]:
    """Let FCM answer 503: every push is retried until it is taken."""
    return await _misbehave(world, {"status": 503}, 4)


async def hanging(world: World) -> list[Observation]:
    """No answer for longer than anybody waits."""
    return await _misbehave(world, {"delay_seconds": 30}, 4)


async def unregistered(world: World) -> list[Observation]:
    """A phone that is gone: its device is removed, the owner's other phone still gets the alert."""
    gone = f"dead-{world.load.phone}-{time.monotonic_ns()}"
    headers = world.stage.headers("owner", world.load.branch)
    async with world.stage.client("notification") as client:
        asked = {"token": gone, "platform": "android"}
        (await client.post("/devices", json=asked, headers=headers)).raise_for_status()
    async with world.stage.client("monitoring") as client:
        alarm = await break_washer(world.load, client)

    async def there() -> bool:
        return alarm.equipment_id in await rang_for(world.stage, world.load)

    async def removed() -> bool:
        query = "SELECT count(*) FROM devices WHERE token = $1"
        return int(await world.database("notification", query, gone)) == 0

    return [
        Observation("the other phone got the alert", await world.eventually(there, PUSH_S)),
        Observation("the device was removed", await world.eventually(removed, PUSH_S)),
    ]


async def browsers_away(world: World) -> list[Observation]:
    """Let the push service of browsers answer 503: phones ring meanwhile, the browser when it is back."""
    owner = world.stage.headers("owner", world.load.branch)
    async with world.stage.client("notification") as client, world.stage.client("fcm") as push_service:
        browser = await subscribe(world.stage, client, owner)
        control = {"status": 503, "token_prefix": browser.rpartition("/")[0]}
        world.load.ledger.said(f"push service of browsers: {control}")
        (await push_service.put("/control", json=control)).raise_for_status()
        try:
            async with world.stage.client("monitoring") as monitoring:
                alarm = await break_washer(world.load, monitoring)

            async def phone() -> bool:
                return alarm.equipment_id in await rang_for(world.stage, world.load)

            async def told() -> bool:
                return alarm.equipment_id in await shown(world.stage, browser)

            phone_rang = await world.eventually(phone, PUSH_S)
            await asyncio.sleep(4)
            early = await told()
            (await push_service.put("/control", json={})).raise_for_status()
            left = PUSH_S - (time.monotonic() - (alarm.taken_at or 0)) + 1
            in_time = await world.eventually(told, left)
        finally:
            (await push_service.put("/control", json={})).raise_for_status()
            await client.delete("/devices", params={"token": browser}, headers=owner)
    return [
        Observation("the phone rang meanwhile", phone_rang),
        Observation(
            "the browser was told once its push service was back, within 15 s", in_time and not early
        ),
    ]


FAULTS = (
    Fault("fcm-429", "push", "tried again after Retry-After, within 15 s", too_many),
    Fault("fcm-503", "push", "tried again, within 15 s", unavailable),
    Fault("fcm-hangs", "push", "given up and tried again, within 15 s", hanging),
    Fault("fcm-unregistered", "push", "the device is removed", unregistered),
    Fault("web-push-503", "push", "phones ring; browsers too once it is back, within 15 s", browsers_away),
)
