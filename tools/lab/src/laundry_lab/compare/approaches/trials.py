"""The workload that every design gets: a steady load, as fast as it goes, and three deaths."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from laundry_lab.bench.stage import Say
from laundry_lab.bench.workers import working
from laundry_lab.compare.approaches import servers
from laundry_lab.compare.approaches.accounts import Account, percentiles
from laundry_lab.compare.approaches.design import Design
from laundry_lab.compare.approaches.rig import ENOUGH_S, PROCESS, Rig, database_bytes
from laundry_lab.compare.approaches.transport import MANY, PAUSE_S, SINGLE
from laundry_lab.compare.approaches.work import NOTHING, READING
from laundry_lab.load import patterns

RATE = 60.0
LEAD_S = 0.2
LANES = 64
FAST, FAST_READINGS = 2000, 600
"""Photos that wait for workers who are held meanwhile: without work, and to be read."""

BURST, BURST_AT_S, KILL_AT_S, RESTART_S, KILL_S = 150, 1.0, 1.2, 1.0, 5.0
"""A trial with a death: beside the steady load a burst that makes everybody hold something, then the kill."""

WAY_S = 60.0

KILLS = ("consumer", "producer", "broker")


@dataclass
class Result:
    """What was measured of one design, by the names of figures; what could not be is not in it."""

    design: Design
    figures: dict[str, float] = field(default_factory=dict)
    failure: str | None = None


async def measure(rig: Rig, seconds: float, say: Say, result: Result) -> None:
    """Put the whole workload to a design; figures are added as they come."""
    advance = say(rig.design.title, 3 + len(KILLS))
    result.figures["processes"] = len(servers.tree([*rig.pids, *rig.broker_pids]))
    result.figures["systems"] = len(rig.design.systems)
    result.figures["subscriber_lines"] = len(rig.design.subscriber)
    result.figures["sender_lines"] = rig.design.sender_lines
    for step in (_warm_up, _steady, _fast_readings, _fast):
        result.figures |= await step(rig, seconds)
        if step is not _warm_up:
            advance(1)
    for kind in KILLS:
        result.figures |= await _killed(rig, kind)
        advance(1)


async def _warm_up(rig: Rig, _: float) -> dict[str, float]:
    """Open what is opened at the first photo; nothing of it counts."""
    rig.load(READING, time.monotonic(), due=patterns.steady(RATE, 1, seed=None))
    await rig.loaded()
    await rig.settled()
    return {}


async def _steady(rig: Rig, seconds: float) -> dict[str, float]:
    """60 photos a second, each read."""
    everything = [*rig.pids, *rig.broker_pids, *_database(rig)]
    used = servers.processor_s(everything)
    database = servers.processor_s(_database(rig))
    rig.load(READING, time.monotonic() + LEAD_S, due=patterns.steady(RATE, seconds, seed=1))
    await rig.loaded(seconds + ENOUGH_S)
    account = await rig.settled()
    number = len(account.accepted) or 1
    return {
        "accepted": len(account.accepted),
        "lost": account.lost,
        "doubled": account.doubled,
        **percentiles("answer", account.answer_s()),
        **percentiles("effect", account.effect_s()),
        **percentiles("hop", account.hop_s()),
        "processor_ms": 1000 * (servers.processor_s(everything) - used) / number,
        "database_ms": 1000 * (servers.processor_s(_database(rig)) - database) / number,
        "memory_mb": servers.memory_mb([*rig.pids, *rig.broker_pids]),
        "broker_mb": servers.memory_mb(rig.broker_pids),
    }


async def _fast_readings(rig: Rig, _: float) -> dict[str, float]:
    """As many as three workers can read."""
    account = await _backlog(rig, READING, FAST_READINGS)
    return {"readings_per_s": account.rate()}


async def _fast(rig: Rig, _: float) -> dict[str, float]:
    """As many as the design can accept while nobody works, and carry when there is no work but the effect."""
    before = await _stored(rig)
    account = await _backlog(rig, NOTHING, FAST)
    stored = (await _stored(rig) - before) / FAST
    return {
        "effects_per_s": account.rate(),
        "answers_per_s": account.accepted_rate(),
        "fast_refused": account.refused,
        "fast_lost": account.lost,
        "stored_bytes": stored,
    }


async def _backlog(rig: Rig, work: str, number: int) -> Account:
    """Submit all while the workers are held: else those that ask every 5 s sleep for most of it."""
    async with rig.held():
        rig.load(work, time.monotonic(), number=number, lanes=LANES)
        await rig.loaded()
    return await rig.settled()


async def transport(rig: Rig) -> dict[str, float]:
    """Measure the way alone, where a design has one besides the database."""
    if not rig.design.has_way:
        return {}
    single = await _sent(rig, SINGLE, PAUSE_S)
    many = await _sent(rig, MANY, 0)
    return {**percentiles("way", single["seconds"]), "way_per_s": many["rate"]}


async def _sent(rig: Rig, number: int, pause_s: float) -> dict[str, Any]:
    order = {**rig.design.order(rig.addresses), "number": number, "pause_s": pause_s}
    async with (
        working(PROCESS, {"role": "take", **order}, environment=rig.environment) as taker,
        working(PROCESS, {"role": "send", **order}, environment=rig.environment),
    ):
        return await taker.hear("taken", within_s=WAY_S)


async def _stored(rig: Rig) -> float:
    folder = await asyncio.to_thread(servers.bytes_in, rig.servers.broker_folder(rig.design))
    own = 0 if rig.design.broker in (None, "postgres") else folder
    return own + await database_bytes(rig.addresses["database"])


async def _killed(rig: Rig, kind: str) -> dict[str, float]:
    """A steady load and a burst; then somebody is killed, and started again as a supervisor does."""
    if kind == "broker" and rig.servers.victim(rig.design) is None:
        return {}
    at = time.monotonic() + LEAD_S
    due = sorted([*patterns.steady(RATE, KILL_S, seed=None), *[BURST_AT_S] * BURST])
    rig.load(READING, at, due=due)
    await asyncio.sleep(max(0.0, at + KILL_AT_S - time.monotonic()))
    killed_at = await VICTIMS[kind](rig)
    if kind == "producer":
        back_at = time.monotonic()
        rig.account.helper_was_away([at + each for each in due], killed_at, back_at)
        rig.load(READING, at, due=[each for each in due if at + each > back_at])
    await rig.loaded()
    account = await rig.settled()
    return {
        f"{kind}_accepted": len(account.accepted),
        f"{kind}_lost": account.lost,
        f"{kind}_doubled": account.doubled,
        f"{kind}_refused": account.refused,
        f"{kind}_cut_off": account.cut_off,
        f"{kind}_unanswered": account.unanswered,
        f"{kind}_resume_s": account.resumed_after(killed_at),
    }


async def _kill_consumer(rig: Rig) -> float:
    killed_at = time.monotonic()
    await rig.kill("worker-1")
    await asyncio.sleep(RESTART_S)
    await rig.start_worker(1)
    return killed_at


async def _kill_producer(rig: Rig) -> float:
    killed_at = time.monotonic()
    await rig.kill("producer")
    await rig.start_producer()
    return killed_at


async def _kill_broker(rig: Rig) -> float:
    victim = rig.servers.victim(rig.design)
    assert victim is not None
    killed_at = time.monotonic()
    servers.kill(victim)
    await servers.revive(victim)
    return killed_at


VICTIMS: dict[str, Callable[[Rig], Awaitable[float]]] = {
    "consumer": _kill_consumer,
    "producer": _kill_producer,
    "broker": _kill_broker,
}


def _database(rig: Rig) -> list[int]:
    pid = rig.servers.postgres.process.wrapper_pid
    return [pid] if pid is not None else []
