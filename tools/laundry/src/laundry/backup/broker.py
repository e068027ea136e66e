"""The broker of a backup: its definitions, the messages under way, and its dead letters."""

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aio_pika
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import AMQPError, ChannelNotFoundEntity

from laundry.management import QueuesUnknown, queue_totals
from laundry_dead_letters.actions import Bounds, Tally, look, write_line
from laundry_dead_letters.broker import connected
from laundry_dead_letters.dead_letter import DeadLetter, Selection
from laundry_dead_letters.errors import DeadLetterError
from laundry_events.broker_plan import Target, checked
from laundry_events.topology import PLAN
from laundry_servers.errors import LaundryError

# A quorum queue reports unacknowledged messages every 5 s, ready ones at once.
TELLS_SECONDS = 5.5
# A reading moves on to a second queue, so one look could miss it in between.
SURE_SECONDS = 1.0
LOOK_SECONDS = 0.25
# Equipment publishes on its own, and nothing can hold that.
OURS = [queue for queue in PLAN.queues if queue.kind == "quorum" and not queue.untrusted]
SCAN = 1_000_000


def definitions(target: Target) -> dict[str, Any]:
    """Return our definitions at the broker: virtual host, queues, policies, and users without administrators.

    Raises:
        PlanRefused.
    """
    with target.client() as client:
        everything: dict[str, Any] = checked(client.get("/api/definitions")).json()
    users = [each for each in everything["users"] if "administrator" not in each["tags"]]
    names = {each["name"] for each in users}
    found: dict[str, Any] = {
        "users": users,
        "vhosts": [v for v in everything["vhosts"] if v["name"] == PLAN.vhost],
    }
    for kind in ("permissions", "topic_permissions", "policies", "exchanges", "queues", "bindings"):
        of_ours = [each for each in everything.get(kind, []) if each.get("vhost") == PLAN.vhost]
        found[kind] = [each for each in of_ours if "user" not in each or each["user"] in names]
    return found


def put_back(target: Target, document: dict[str, Any]) -> None:
    """Declare what a backup has, with the users and their passwords. Raises PlanRefused."""
    with target.client() as client:
        checked(client.post("/api/definitions", json=document))


def purge(target: Target) -> None:
    """Empty all our queues except the stream. Raises PlanRefused."""
    vhost = quote(PLAN.vhost, safe="")
    with target.client() as client:
        for queue in PLAN.queues:
            if queue.kind == "quorum":
                for name in (queue.name, *(name for name, _ in queue.retries), str(queue.dead)):
                    checked(client.delete(f"/api/queues/{vhost}/{quote(name, safe='')}/contents"))


async def under_way(target: Target, urls: Sequence[str], *, seconds: float) -> dict[str, int]:
    """Wait until no message is under way, while nothing new is published.

    Returns:
        what is left after ``seconds``, by queue; usually nothing.

    Raises:
        LaundryError: the broker cannot be asked.
    """
    began = time.monotonic()
    empty_since: float | None = None
    try:
        async with await aio_pika.connect(urls[0], timeout=10) as connection, connection.channel() as channel:
            while True:
                try:
                    left = await _left(target, channel)
                except QueuesUnknown as unknown:
                    left = dict.fromkeys(unknown.names, 0)
                now = time.monotonic()
                if left or now - began < TELLS_SECONDS:
                    empty_since = None
                elif empty_since is None:
                    empty_since = now
                elif now - empty_since >= SURE_SECONDS:
                    break
                if now - began > seconds:
                    break
                await asyncio.sleep(LOOK_SECONDS)
    except ChannelNotFoundEntity as error:
        raise LaundryError(
            f"The broker lacks a queue: {error}. Bring it to the plan: laundry topology apply"
        ) from error
    except (AMQPError, OSError, TimeoutError) as error:
        raise LaundryError(
            f"The broker cannot be asked what is under way: {type(error).__name__} {error}"
        ) from error
    untrusted = [queue.name for queue in PLAN.queues if queue.untrusted]
    totals = await asyncio.to_thread(partial(queue_totals, target, of=untrusted))
    return left | {name: count for name in untrusted if (count := totals[name]["messages"])}


async def dead_letters(urls: Sequence[str], file: Path) -> dict[str, int]:
    """Write every dead letter into a file, as ``laundry dlq export`` does; return how many, by queue.

    Raises:
        LaundryError.
    """
    counts: dict[str, int] = {}
    try:
        async with connected(urls) as broker:
            with file.open("w", encoding="utf-8") as lines:

                def write(letter: DeadLetter) -> None:
                    write_line(letter, lines)
                    counts[letter.queue] = counts.get(letter.queue, 0) + 1

                for queue in PLAN.queues:
                    if queue.dead:
                        await look(broker, queue.name, Selection(), Bounds(SCAN), Tally(), handle=write)
    except (DeadLetterError, AMQPError, OSError, TimeoutError) as error:
        raise LaundryError(f"The dead letters cannot be read: {error}") from error
    return counts


async def _left(target: Target, channel: AbstractChannel) -> dict[str, int]:
    names = [name for queue in OURS for name in (queue.name, *(name for name, _ in queue.retries))]
    totals = await asyncio.to_thread(partial(queue_totals, target, of=names))
    left = {}
    for name in names:
        ready = (await channel.declare_queue(name, passive=True)).declaration_result.message_count or 0
        unacked = int(totals[name].get("messages_unacknowledged", 0))
        if ready + unacked:
            left[name] = ready + unacked
    return left
