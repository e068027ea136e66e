"""Real packet loss, by the machine's packet filter."""

import asyncio
import os
import secrets
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import aio_pika
import psutil
from aio_pika.exceptions import AMQPError

from laundry_catalogue import copies_of
from laundry_lab.faults.tools import IPTABLES
from laundry_lab.faults.world import Fault, NotHere, Observation, World, environment_of

CHAIN = "LAUNDRY_FAULTS"
NOTICED_S = 35.0
PARTED_S = 45.0
LEFT_S = 15.0
"""Within it a consumer has left the node that is cut off, once, and what it had begun is finished."""

WENT_ON_S = 110.0
"""By then it has, however often it was sent back there within reason: some 14 s each."""

MANY = 30
Rule = Sequence[str]


def _iptables(*arguments: str) -> None:
    command = ["iptables", "-w", "5", *arguments]
    ran = subprocess.run(  # noqa: S603 - our own arguments
        command, capture_output=True, text=True, timeout=10, check=False
    )
    if ran.returncode:
        raise NotHere(f"{' '.join(command)}: {ran.stderr.strip()[:150]}")


@asynccontextmanager
async def dropping(world: World, rules: Sequence[Rule]) -> AsyncIterator[None]:
    """Drop all packets on the loopback device that match one of the rules, until the block ends.

    Raises:
        NotHere: no root or no iptables.
    """
    if os.geteuid() != 0 or not IPTABLES.there():
        raise NotHere("dropping packets needs root and iptables (apt-get install iptables)")
    with suppress(NotHere):
        _iptables("-N", CHAIN)
    try:
        _iptables("-F", CHAIN)
        _iptables("-I", "INPUT", "1", "-i", "lo", "-j", CHAIN)
        for rule in rules:
            _iptables("-A", CHAIN, *rule, "-j", "DROP")
        world.load.ledger.said(f"dropping packets by {len(rules)} rules")
        yield
    finally:
        with suppress(NotHere):
            _iptables("-D", "INPUT", "-i", "lo", "-j", CHAIN)
        with suppress(NotHere):
            _iptables("-F", CHAIN)
            _iptables("-X", CHAIN)


def _both_ways(port: int) -> list[Rule]:
    return [("-p", "tcp", "--sport", str(port)), ("-p", "tcp", "--dport", str(port))]


async def partition(world: World) -> list[Observation]:
    """Cut one node off from the two others; its clients still reach it."""
    names = world.brokers
    cut = names[-1]
    ports = {name: int(environment_of(world.pid(name))["RABBITMQ_DIST_PORT"]) for name in names}
    others = {port for name, port in ports.items() if name != cut}
    rules: list[Rule] = list(_both_ways(ports[cut]))
    for process in world.family(cut):
        for connection in process.net_connections("tcp"):
            if connection.raddr and connection.raddr.port in others:
                rules += _both_ways(connection.laddr.port)
    # The two others are connected already; only the one that is cut off would try again.
    rules += [("-p", "tcp", "--syn", "--dport", str(port)) for port in others]
    async with _measuring(world) as serves, dropping(world, rules):
        began = time.monotonic()
        accepts = await world.accepts(15)
        took = await serves(PARTED_S)
        await asyncio.sleep(max(0.0, LEFT_S - (time.monotonic() - began)))
        read = await world.progress(WENT_ON_S - (time.monotonic() - began), more=MANY)
        await asyncio.sleep(max(0.0, PARTED_S - (time.monotonic() - began)))
    healed = await world.healthy()
    went_on = await world.reads_on(40)
    return [
        Observation("uploads still got their 201", accepts),
        Observation(
            f"the two others served again after {took:.1f} s" if took else "the two others did not serve",
            took is not None,
        ),
        Observation("photos were still read and their readings stored", read is not None),
        went_on,
        Observation(f"whole again {healed:.1f} s after", True),
    ]


@asynccontextmanager
async def _measuring(world: World) -> AsyncIterator[Callable[[float], Awaitable[float | None]]]:
    """Make a replicated queue that the node to be cut off leads; see when another node's client is served."""
    name = f"faults.parted.{secrets.token_hex(4)}"
    arguments: dict[str, Any] = {"x-queue-type": "quorum", "x-quorum-initial-group-size": 3}
    urls = world.stage.document["amqp_urls"]
    async with await aio_pika.connect(urls[-1], timeout=10) as there, there.channel() as making:
        await making.declare_queue(name, durable=True, arguments=arguments)
    async with await aio_pika.connect(urls[0], timeout=10) as here, here.channel() as channel:

        async def serves(within_s: float) -> float | None:
            began = time.monotonic()
            while time.monotonic() - began < within_s:
                with suppress(TimeoutError, AMQPError):
                    message = aio_pika.Message(b"served?", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
                    await channel.default_exchange.publish(message, name, timeout=2)
                    return time.monotonic() - began
            return None

        try:
            yield serves
        finally:
            with suppress(TimeoutError, AMQPError):
                await channel.queue_delete(name, timeout=10)


async def half_open(world: World) -> list[Observation]:
    """Drop everything on the helper's connections to the broker, without closing them."""
    brokers = {int(url.rsplit(":", 1)[1].split("/")[0]) for url in _client_urls(world)}
    before = _amqp_ports(world, "helper", brokers)
    if not before:
        raise NotHere("the helper has no connection to the broker")
    rules = [rule for port in before for rule in _both_ways(port)]
    async with dropping(world, rules):
        began = time.monotonic()

        async def replaced() -> bool:
            return len(_amqp_ports(world, "helper", brokers) - before) >= len(before)

        noticed = await world.eventually(replaced, NOTICED_S + 5, every_s=0.25)
        seconds = time.monotonic() - began
        took = await world.progress(15)
    return [
        Observation(f"noticed and replaced after {seconds:.0f} s", noticed and seconds <= NOTICED_S),
        Observation("readings reached their tasks over the new connection", took is not None),
    ]


def _client_urls(world: World) -> list[str]:
    url = environment_of(world.pid("helper")).get("LAUNDRY_AMQP_URL", "")
    return [url] if url else []


def _amqp_ports(world: World, name: str, brokers: set[int]) -> set[int]:
    """Return the local ports of a service's connections to the broker."""
    ports: set[int] = set()
    for process in copies_of(name):
        with suppress(psutil.Error, KeyError):
            found = psutil.Process(world.pids[process]).net_connections("tcp")
            ports |= {
                each.laddr.port
                for each in found
                if each.raddr and each.raddr.port in brokers and each.status == psutil.CONN_ESTABLISHED
            }
    return ports


FAULTS = (
    Fault(
        "partition",
        "network",
        "two nodes go on; the third catches up",
        partition,
        minimum_nodes=3,
        tools=(IPTABLES,),
    ),
    Fault(
        "half-open",
        "network",
        f"replaced within {NOTICED_S:.0f} s",
        half_open,
        soak=False,
        tools=(IPTABLES,),
    ),
)
