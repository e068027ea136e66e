"""Waits for the effects of what was accepted: as long as queues become shorter, or until it is stopped."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from typing import Any

import aio_pika
import httpx
from aio_pika.exceptions import AMQPError

from laundry_lab.bench.readings import read_times
from laundry_lab.bench.stage import Advance, Say, Stage, client_of
from laundry_lab.load.runs import Run
from laundry_lab.load.watching import Watch
from laundry_lab.patience import Patience

EFFECTS_S = 120.0
"""After so long with no fewer in the queues than before, the rest is not waited for."""

GRACE_S = 20.0
"""The same of photos that are said to be in no queue and not said to be read: what is said is seconds old."""

INTERRUPTED_S = 5.0
BACK_S = 3.0
LOOK_S = 0.5
CONNECT_S = 10.0

Look = Callable[[], Awaitable[int | None]]
"""Says how much the queues hold; None if nobody can tell."""


class Waiting:
    """Lasts while it becomes less; only briefly once the run is to end."""

    def __init__(self, stop: asyncio.Event, still_s: float) -> None:
        self._stop, self._patience = stop, Patience(still_s)
        self._ends_at = math.inf

    def lasts(self, left: float) -> bool:
        """Whether to go on, with so much left now."""
        now = time.monotonic()
        if self._stop.is_set():
            self._ends_at = min(self._ends_at, now + INTERRUPTED_S)
        return self._patience.lasts(left) and now < self._ends_at


async def until_empty(look: Look, stop: asyncio.Event, say: Say) -> int | None:
    """Wait until the queues are said to be empty, and show how they become so.

    Returns:
        what they still hold, not 0 if they became no shorter or ``stop`` was set; None if nobody could tell.
    """
    waiting = Waiting(stop, EFFECTS_S)
    held: int | None = None
    advance: Advance | None = None
    shown = 0
    while True:
        found = await look()
        if found is not None:
            held = found
            if held and advance is None:
                advance, shown = say("waiting for the effects", held), held
            if advance is not None:
                advance(shown - held)
                shown = held
        if held == 0 or not waiting.lasts(math.inf if held is None else held):
            return held
        await asyncio.sleep(LOOK_S)


def sampled(watch: Watch) -> Look:
    """Look at what was sampled from now on: ready or being worked on, as of some seconds ago."""
    after = time.monotonic() - watch.began

    async def look() -> int | None:
        last = watch.samples[-1] if watch.samples else None
        return sum(last.backlog.values()) if last is not None and last.at > after and last.backlog else None

    return look


def ready(amqp_url: str, queue: str) -> Look:
    """Look at what no consumer has taken, this moment."""

    async def look() -> int | None:
        with suppress(AMQPError, OSError, TimeoutError):
            async with (
                asyncio.timeout(CONNECT_S),
                await aio_pika.connect(amqp_url) as connection,
                connection.channel() as channel,
            ):
                found = await channel.declare_queue(queue, passive=True)
                return int(found.declaration_result.message_count or 0)
        return None

    return look


async def given_back(look: Look) -> int | None:
    """Return what waits once consumers have ended: what they had in hand goes back a moment later."""
    patience = Patience(BACK_S)
    while True:
        held = await look()
        if held or not patience.lasts(0):
            return held
        await asyncio.sleep(LOOK_S)


async def until_read(
    stage: Stage, watch: Watch, branch: str, accepted: Collection[str], *, stop: asyncio.Event, say: Say
) -> tuple[dict[str, float] | None, int | None]:
    """Wait until what was accepted is read.

    Returns:
        when each was (by the wall clock), None if the helper never told; and what ``until_empty`` does.
    """
    nearer, look = Patience(EFFECTS_S), sampled(watch)
    found: dict[str, float] | None = None
    async with client_of(stage.document["helper_url"]) as client:
        while True:
            held = await until_empty(look, stop, say)
            given_up, waiting = held != 0, Waiting(stop, GRACE_S)
            while True:
                # That the helper is stopped or away does not mean that anything is lost.
                with suppress(httpx.HTTPError):
                    times = await read_times(stage, client, branch)
                    found = {task: at.timestamp() for task, at in times.items() if task in accepted}
                missing, latest = len(accepted) - len(found or ()), await look()
                held = held if latest is None else latest
                if not missing or not waiting.lasts(missing):
                    return found, held
                if held and not given_up and not stop.is_set():
                    # They were said to be empty too early.
                    break
                await asyncio.sleep(LOOK_S)
            if not nearer.lasts(missing):
                return found, held


def handled(seen: Sequence[dict[str, Any]], began: float) -> dict[str, tuple[float, float]]:
    """Return by its id when each event was due and how long it took, from what consumers saw."""
    found: dict[str, tuple[float, float]] = {}
    for one in seen:
        for (event_id, _, due_ns, _), ended_ns in zip(one["seen"], one["ended"], strict=True):
            due = due_ns / 1e9
            # What has not ended has no effect; if an event is delivered twice, the first delivery counts.
            if ended_ns:
                found.setdefault(event_id, (due - began, ended_ns / 1e9 - due))
    return found


def note(run: Run, effects: list[tuple[float, float]], held: int | None, answered_s: float) -> None:
    """Note the effects of what was accepted: what has none is only lost where nothing waits any more.

    Args:
        held: what the queues still hold; None if that is not known.
        answered_s: when the last answer came, since the beginning.
    """
    run.effects = effects
    missing = run.accepted - len(effects)
    run.pending = 0 if held == 0 else missing
    if effects and not missing:
        run.drained_s = max(0.0, max(due + took for due, took in effects) - answered_s)
