"""A malicious device with a valid token."""

import asyncio
import secrets
import time
from contextlib import suppress

from laundry_lab.faults.dead_letters import OWN, dead_letters
from laundry_lab.faults.effects import rang_for
from laundry_lab.faults.equipment import break_mqtt_washer, break_washer
from laundry_lab.faults.ledger import Alarm
from laundry_lab.faults.world import Fault, NotHere, Observation, World
from laundry_servers import raw_mqtt

OF_EACH = 5
KEPT = 20
"""Dead letters that monitoring keeps of one device in an hour (``LAUNDRY_DEVICE_DEAD_LETTERS_H``); others are
counted only.
"""

DEAD_S = 30.0
PUSH_S = 15.0
EVERY_S = 0.05
FAULTS_OF_OTHERS = 4
BAD = b'{"samples": ['
FRAME = 1_500
"""User properties that together fill a frame of AMQP, and a packet nearly."""

MALIGN: dict[str, tuple[bytes, bytes]] = {
    "CC": (raw_mqtt.user_property(b"CC", b"x"), BAD),
    "BCC": (raw_mqtt.user_property(b"BCC", b"x"), BAD),
    "binary correlation data": (raw_mqtt.correlation_data(b"\xff\xfe\xfd\x80" * 4), BAD),
    "a name that is no UTF-8": (raw_mqtt.user_property(b"\xff\xfe", b"v"), BAD),
    "a value that is no UTF-8": (raw_mqtt.user_property(b"k", b"\xff\xfe"), BAD),
    "a content type of 300 bytes": (raw_mqtt.content_type(b"a" * 300), BAD),
    "a name of 300 bytes": (raw_mqtt.user_property(b"k" * 300, b"v"), BAD),
    "headers that fill a frame": (
        b"".join(raw_mqtt.user_property(b"k%d" % number, b"v" * 20) for number in range(FRAME)),
        BAD,
    ),
    "the history of another message": (
        b"".join(
            raw_mqtt.user_property(name, b"9")
            for name in (b"x-death", b"x-delivery-count", b"x-attempt", b"x-original-routing-key")
        ),
        BAD,
    ),
    "a trace that is none": (raw_mqtt.user_property(b"traceparent", b"00-zz-zz-01"), BAD),
    "an answer to nobody": (raw_mqtt.response_topic(b"a/b") + raw_mqtt.payload_is_text(True), b"\xff" * 50),
    "no body": (b"", b""),
    "half a surrogate pair": (b"", b'{"samples": [{"equipment_id": "\\ud800"}]}'),
    "depth": (b"", b"[" * 20_000),
}


async def hostile_device(world: World) -> list[Observation]:
    """Send every malicious message that MQTT 5 allows, while other machines break."""
    device = f"{OWN}hostile-{secrets.token_hex(4)}"
    url = world.stage.document.get("mqtt_url")
    if not url:
        raise NotHere("this stack's broker takes no MQTT")
    sending = asyncio.create_task(_send_all(world, url, device))
    try:
        late = await _break_others(world, sending)
        taken = await sending
    finally:
        sending.cancel()

    async def died() -> bool:
        return await _dead(world, device) == min(taken, KEPT)

    all_dead = await world.eventually(died, DEAD_S, every_s=0.5)
    dead = await _dead(world, device)
    return [
        Observation(f"{taken} malign messages were taken", taken >= len(MALIGN) * OF_EACH // 2),
        Observation(f"{dead} of them are dead letters, as many as are kept of one device", all_dead),
        Observation(f"{len(late)} faults of others were pushed, the last after {max(late):.1f} s",
                    max(late) <= PUSH_S),
        Observation("photos were read on", await world.progress(15) is not None),
    ]  # fmt: skip


async def _send_all(world: World, url: str, device: str) -> int:
    """Send a few of each kind under the device's own topic; returns how many the broker took."""
    token = world.stage.identity.mint(
        role="device", branches=[world.stage.branch("hostile")], subject=device, seconds=3600
    )
    taken = 0
    for name, (properties, body) in MALIGN.items():
        world.load.ledger.said(f"hostile device: {name}")
        for _ in range(OF_EACH):
            # The broker may refuse a packet by closing the connection, and the device comes again.
            with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                async with raw_mqtt.raw_mqtt(url, device, device, token, tls=world.stage.tls) as client:
                    taken += await client.publish(f"telemetry/{device}", body, properties)
            await asyncio.sleep(EVERY_S)
    return taken


async def _break_others(world: World, sending: "asyncio.Task[int]") -> list[float]:
    """Let washers of another branch break, one by HTTP and one by MQTT after the other, until all is sent.

    Returns:
        after how many seconds each of those by HTTP was on the owner's phone.
    """
    heard: list[asyncio.Task[float]] = []
    async with world.stage.client("monitoring") as client, asyncio.TaskGroup() as phones:
        while not sending.done() or len(heard) < FAULTS_OF_OTHERS:
            alarm = await break_washer(world.load, client)
            heard.append(phones.create_task(_heard(world, alarm)))
            await break_mqtt_washer(world.load)
            await asyncio.sleep(1)
    return [each.result() for each in heard]


async def _heard(world: World, alarm: Alarm) -> float:
    """Wait for an alarm on the owner's phone; returns the seconds it took, infinity if it never came."""
    taken_at = alarm.taken_at or alarm.asked_at

    async def there() -> bool:
        return alarm.equipment_id in await rang_for(world.stage, world.load)

    came = await world.eventually(there, PUSH_S + 1)
    return time.monotonic() - taken_at if came else float("inf")


async def _dead(world: World, device: str) -> int:
    key = f"telemetry.{device}"
    return sum(letter.origin == key for letter in await dead_letters(world.stage))


FAULTS = (
    Fault(
        "hostile-device",
        "messages",
        "its messages die alone; everybody else's alerts arrive",
        hostile_device,
        soak=False,
        kills=True,
    ),
)
