"""Keys are changed while everybody carries on: those that sign tokens, and the broker's certificates."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiomqtt
import httpx

from laundry.stack import certificates
from laundry_lab.faults.world import Fault, NotHere, Observation, World
from laundry_servers.deny_list import LocalDenyList

AT_ONCE_S = 10.0
# The services' LAUNDRY_JWKS_LIFESPAN_S, and room for the slowest of them to ask.
WITHDRAWN_S = 130.0
DENIED_S = 60.0
LOGIN_S = 5.0
CERTIFICATE_DAYS = 90.0
AGAIN_S = 30.0


@dataclass(frozen=True)
class Somebody:
    """Tokens of one person in each role, and of one piece of equipment, made at one moment."""

    owner: str
    operator: str
    device: str
    equipment: str

    @classmethod
    def of(cls, world: World, name: str) -> "Somebody":
        """Sign them with the key that signs now."""
        mint, branches = world.stage.identity.mint, [world.load.branch]
        return cls(
            owner=mint(role="owner", branches=branches, subject=name),
            operator=mint(role="operator", branches=[], subject=name),
            device=mint(role="device", branches=branches, subject=name),
            equipment=name,
        )


async def admitted(world: World, who: Somebody) -> dict[str, bool]:
    """Say of every service, and of the broker's MQTT login, whether it accepts somebody's tokens."""
    branch = world.load.branch
    requests = {
        "helper": ("/labels", who.owner),
        "monitoring": ("/equipment", who.owner),
        "search": (f"/branches/{branch}/preferences", who.owner),
        "notification": ("/notifications", who.owner),
        "mlops": ("/models", who.operator),
        "operations": ("/audit", who.operator),
    }

    async def takes(service: str, path: str, token: str) -> bool:
        async with world.stage.client(service) as client:
            answer = await client.get(path, headers={"Authorization": f"Bearer {token}"})
        if answer.status_code not in (200, 401):
            raise httpx.HTTPStatusError(
                f"{service} answered {answer.status_code}", request=answer.request, response=answer
            )
        return answer.status_code == httpx.codes.OK

    found = await asyncio.gather(
        *(takes(service, *request) for service, request in requests.items()), _logs_in(world, who)
    )
    return dict(zip([*requests, "mqtt"], found, strict=True))


async def _logs_in(world: World, who: Somebody) -> bool:
    address = urlsplit(world.stage.document["mqtt_url"])
    try:
        async with (
            asyncio.timeout(2 * LOGIN_S),
            aiomqtt.Client(
                address.hostname or "127.0.0.1",
                address.port or 1883,
                identifier=who.equipment,
                username=who.equipment,
                password=who.device,
                protocol=aiomqtt.ProtocolVersion.V5,
                tls_context=world.stage.tls,
                timeout=LOGIN_S,
            ),
        ):
            return True
    except aiomqtt.MqttError as error:
        # Only a refusal is one: a broker that does not answer shows nothing.
        if "authori" in str(error).lower() or "password" in str(error).lower():
            return False
        raise OSError(f"MQTT: {error}") from error


async def _seconds(
    world: World, within_s: float, condition: Callable[[], Awaitable[bool]], *, every_s: float = 0.25
) -> float | None:
    """Return how long something took to become true; none if it never did."""
    began = time.monotonic()
    if await world.eventually(condition, within_s, every_s=every_s):
        return time.monotonic() - began
    return None


def _seen(text: str, took: float | None) -> Observation:
    return Observation(f"{text}: {'never' if took is None else f'{took:.1f} s'}", took is not None)


async def withdrawn_key(world: World) -> list[Observation]:
    """Rotate the key under load and withdraw the old one; then cut one person off by name."""
    stage = world.stage
    name = f"faults-thief-{stage.run}"
    stolen = Somebody.of(world, name)
    before = all((await admitted(world, stolen)).values())
    stage.identity.rotate()
    world.load.ledger.said("rotated the key and withdrew the old one")
    fresh = Somebody.of(world, f"faults-honest-{stage.run}")

    async def all_in(who: Somebody) -> bool:
        return all((await admitted(world, who)).values())

    async def all_out(who: Somebody) -> bool:
        return not any((await admitted(world, who)).values())

    taken = await _seconds(world, AT_ONCE_S, lambda: all_in(fresh))
    refused = await _seconds(world, WITHDRAWN_S, lambda: all_out(stolen), every_s=1)
    uploads = await world.accepts(20)
    again = Somebody.of(world, name)
    deny_list = LocalDenyList(stage.paths.identity)
    try:
        signed_in = await all_in(again)
        deny_list.deny(sub=name)
        world.load.ledger.said(f"denied {name}")
        denied = await _seconds(world, DENIED_S, lambda: all_out(again), every_s=1)
        others = await all_in(fresh)
    finally:
        deny_list.allow(sub=name)
    allowed = await _seconds(world, DENIED_S, lambda: all_in(again), every_s=1)
    return [
        Observation("every service accepted the tokens before", before),
        _seen("every service accepted the new key", taken),
        _seen("every service refused the withdrawn key", refused),
        Observation("uploads still got their 201", uploads),
        Observation("a new sign-in was accepted", signed_in),
        _seen("every service refused the subject on the deny list", denied),
        Observation("nobody else was refused", others),
        _seen("it was accepted again once it left the list", allowed),
    ]


async def certificate_rotated(world: World) -> list[Observation]:
    """Renew every certificate by another authority under load, cut a consumer off, forget the old one."""
    stage, user = world.stage, "helper"
    if stage.tls is None:
        raise NotHere("this stack's broker is not encrypted (laundry up --tls)")
    renewed = await asyncio.to_thread(certificates.rotate, stage.paths, authority=True, days=CERTIFICATE_DAYS)
    world.load.ledger.said("renewed every certificate by a new authority; both are trusted")
    closed = await world.cut(user, times=1, within_s=AT_ONCE_S)
    between = await world.progress(AGAIN_S)
    finished = await asyncio.to_thread(certificates.finish, stage.paths)
    world.load.ledger.said("the old authority is trusted no more")
    closed += await world.cut(user, times=1, within_s=AT_ONCE_S)
    after = await world.progress(AGAIN_S)
    return [
        Observation(
            f"{len(renewed)} listeners showed new certificates", bool(renewed) and renewed == finished
        ),
        Observation(f"{user} was cut off {closed} times and came back with its new one", closed == 2),
        _seen("photos were read on while both authorities were trusted", between),
        _seen("and with the new one alone", after),
        Observation("uploads still got their 201", await world.accepts(20)),
    ]


FAULTS = (
    Fault(
        "certificate-rotated",
        "keys",
        "new connections show and see the new ones; nothing is lost",
        certificate_rotated,
        soak=False,
        encrypted=True,
    ),
    Fault(
        "withdrawn-key",
        "keys",
        "new tokens at once, old ones refused in two minutes, denied ones in one",
        withdrawn_key,
        soak=False,
    ),
)
