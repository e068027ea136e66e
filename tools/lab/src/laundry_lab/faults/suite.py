"""Runs faults one after another, or drawn at random, and compares the system with the ledger after each."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
import httpx
from aio_pika.exceptions import AMQPError

from laundry_dead_letters.errors import DeadLetterError
from laundry_lab.faults import (
    alarms,
    bindings,
    brokers,
    hostile,
    keys,
    messages,
    network,
    processes,
    pushes,
    servers,
    storm,
    streams,
)
from laundry_lab.faults.attempts import Attempts
from laundry_lab.faults.equipment import break_by_http, break_by_mqtt
from laundry_lab.faults.findings import Findings
from laundry_lab.faults.history import kept
from laundry_lab.faults.invariants import Invariants
from laundry_lab.faults.people import confirm_readings, state_preferences
from laundry_lab.faults.world import Fault, NotHere, Observation, World
from laundry_lab.prometheus import Prometheus
from laundry_servers.errors import LaundryError

FAMILIES = (
    processes,
    brokers,
    network,
    alarms,
    servers,
    pushes,
    storm,
    messages,
    bindings,
    hostile,
    keys,
    streams,
)
CATALOGUE: dict[str, Fault] = {fault.name: fault for family in FAMILIES for fault in family.FAULTS}
OTHERS = (break_by_http, break_by_mqtt, confirm_readings, state_preferences)
LONGEST_S = 420.0
WARM_UP_S = 3.0
PAUSE_S = (3.0, 10.0)
EXPECTED = (
    LaundryError,
    DeadLetterError,
    TimeoutError,
    OSError,
    httpx.HTTPError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    AMQPError,
)


@dataclass
class Result:
    """One fault and its result.

    Attributes:
        skipped: why it could not be made here; then nothing was shown.
        alerts: those that began to ring with it; None if nobody listened.
    """

    fault: Fault
    seconds: float
    observed: list[Observation]
    findings: Findings | None = None
    error: str | None = None
    skipped: str | None = None
    alerts: list[str] | None = None

    @property
    def problems(self) -> list[str]:
        """Everything that is not as it should be."""
        found = [f"not seen: {each.text}" for each in self.observed if not each.holds]
        if self.error:
            found.append(self.error)
        return found + (self.findings.problems if self.findings else [])

    @property
    def holds(self) -> bool:
        """Whether the fault was made and everything is as it should be."""
        return self.skipped is None and not self.problems


@asynccontextmanager
async def loaded(world: World) -> AsyncIterator[Invariants]:
    """Load the system with everything that it is for, and watch every effect."""
    invariants = Invariants(world.stage, world.load, Attempts(world.stage.paths.logs))
    async with kept(world.stage):
        await invariants.begin()
        async with world.load.running(OTHERS):
            await asyncio.sleep(WARM_UP_S)
            yield invariants


async def run(
    world: World,
    chosen: Sequence[Fault],
    say: Callable[[str], None],
    done: Callable[[Result], None],
    alerts: Prometheus | None = None,
) -> None:
    """Make each fault under load and compare after each; ``done`` is called with each result."""
    async with loaded(world) as invariants:
        for fault in chosen:
            say(fault.name)
            if alerts is None:
                done(await _one(world, invariants, fault))
                continue
            began, before = time.monotonic(), await asyncio.to_thread(alerts.rings)
            result = await _one(world, invariants, fault)
            lately = await asyncio.to_thread(alerts.rings, time.monotonic() - began)
            result.alerts = sorted(lately - before)
            done(result)


async def _one(world: World, invariants: Invariants, fault: Fault) -> Result:
    nodes = len(world.brokers)
    if nodes < fault.minimum_nodes:
        return Result(fault, 0, [], skipped=f"needs {fault.minimum_nodes} broker nodes, there is {nodes}")
    result = await _make(world, fault)
    if result.skipped is None:
        try:
            await world.healthy()
            result.findings = await _compare(world, invariants, kills=fault.kills)
        except EXPECTED as error:
            result.error = result.error or f"{type(error).__name__}: {error}"
    return result


async def _make(world: World, fault: Fault) -> Result:
    began, from_s = time.monotonic(), world.load.now
    world.load.ledger.said(f"fault {fault.name}")
    result = Result(fault, 0, [])
    try:
        async with asyncio.timeout(LONGEST_S):
            result.observed = await fault.make(world)
    except NotHere as reason:
        result.skipped = str(reason)
    except EXPECTED as error:
        result.error = f"{type(error).__name__}: {error}"
    result.seconds = time.monotonic() - began
    world.marks.append((from_s, world.load.now, fault.name))
    return result


async def _compare(world: World, invariants: Invariants, *, kills: bool = False) -> Findings:
    """Let the load pause, so that nothing new is promised, then check."""
    async with world.load.paused():
        return await invariants.check(kills=kills)


def drawn(seed: int, nodes: int) -> Iterator[tuple[Fault, float]]:
    """Draw faults for a soak without end, each with the pause after it in seconds.

    Nothing but the seed and the number of broker nodes decides: however long a fault takes, the next one is
    the same.
    """
    draw = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
    drawable = [fault for fault in CATALOGUE.values() if fault.soak and fault.minimum_nodes <= nodes]
    while True:
        yield draw.choice(drawable), draw.uniform(*PAUSE_S)


async def soak(
    world: World, minutes: float, seed: int, say: Callable[[str], None], done: Callable[[Result], None]
) -> Findings:
    """Make faults drawn at random for some minutes; the same seed draws the same ones with the same pauses.

    Returns:
        what the ledger says at the end.
    """
    async with loaded(world) as invariants:
        until = time.monotonic() + 60 * minutes
        for fault, pause_s in drawn(seed, len(world.stage.document["amqp_urls"])):
            if time.monotonic() >= until:
                break
            say(fault.name)
            done(await _make(world, fault))
            await asyncio.sleep(pause_s)
        await world.healthy()
        return await _compare(world, invariants)
