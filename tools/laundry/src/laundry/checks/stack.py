"""Checks a whole stack: processes, broker, plan, databases, bucket, and backlogs."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import aio_pika
import httpx
from aio_pika.exceptions import AMQPError

from laundry.backup import databases, objects
from laundry.backup.system import System
from laundry.checks import broker
from laundry.management import queue_totals
from laundry.paths import StackPaths
from laundry.stack import report, state
from laundry_catalogue import database_owners, service
from laundry_events import broker_plan
from laundry_events.errors import PlanRefused
from laundry_events.topology import PLAN
from laundry_servers.errors import LaundryError
from laundry_service.storage import revision

OUTBOX_SECONDS = 60
WAITING_MESSAGES = 1_000
OLDEST = (
    "SELECT coalesce(extract(epoch FROM now() - min(created_at)), 0)::float FROM outbox"
    " WHERE next_attempt_at <= now() OR attempts > 0"
)


@dataclass(frozen=True, slots=True)
class Found:
    """One check; ``wrong`` is empty where it passed."""

    what: str
    detail: str
    wrong: str = ""


def look(paths: StackPaths, system: System) -> Iterator[Found]:
    """Look at everything, one after another; what cannot be looked at is wrong."""
    checks: list[tuple[str, Callable[[], str]]] = [
        ("processes", lambda: _processes(paths)),
        ("broker takes and gives messages", lambda: asyncio.run(_broker(system))),
        ("broker is as planned", lambda: _plan(system)),
        ("consumers", lambda: _consumers(paths, system)),
        ("dead letters", lambda: _dead_letters(system)),
        *((f"database of {name}", partial(_database, system, name)) for name in system.databases),
        ("bucket", lambda: _bucket(system)),
    ]
    for what, check in checks:
        try:
            yield Found(what, check())
        except (LaundryError, PlanRefused) as error:
            yield Found(what, "", str(error))
        except httpx.HTTPError as error:
            yield Found(what, "", f"the broker's management API does not answer ({type(error).__name__})")


def _processes(paths: StackPaths) -> str:
    found = report.look(paths)
    unwell = [f"{each.name} ({each.health})" for each in found.processes if each.health != "ok"]
    if unwell or not found.ready:
        raise LaundryError(", ".join(unwell) or "it is still starting")
    return f"{len(found.processes)} are well"


async def _broker(system: System) -> str:
    for url in system.amqp_urls:
        found = await broker.check(url)
        if found.outcome is not broker.Outcome.WELL:
            raise LaundryError(found.why)
    return f"{len(system.amqp_urls)} nodes, {sum(found.seconds.values()) * 1000:.0f} ms"


def _plan(system: System) -> str:
    if differences := broker_plan.differences(system.broker, PLAN):
        raise LaundryError(f"{len(differences)} differences: laundry topology plan")
    return f"{len(PLAN.queues)} queues with their retries and dead letters"


def _consumers(paths: StackPaths, system: System) -> str:
    started = state.running_stack(paths)["pids"]
    # A stream does not report its readers.
    queues = [queue for queue in PLAN.queues if queue.kind == "quorum"]
    read_here = [queue for queue in queues if service(queue.consumer).processes[0].instances[0] in started]
    found = asyncio.run(_asked(system, [queue.name for queue in read_here]))
    wrong = [f"{name} has no consumer" for name, (_, consumers) in found.items() if not consumers]
    wrong += [
        f"{queue.name} holds {found[queue.name][0]:,} messages"
        for queue in read_here
        if found[queue.name][0] > WAITING_MESSAGES
    ]
    if wrong:
        raise LaundryError(", ".join(wrong))
    return f"every queue has one, and none holds over {WAITING_MESSAGES:,} messages"


async def _asked(system: System, queues: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Messages and consumers of each queue as of now: the management API knows them some seconds late."""
    found = {}
    try:
        async with await aio_pika.connect(system.amqp_urls[0], timeout=10) as connection:
            channel = await connection.channel()
            for name in queues:
                told = (await channel.declare_queue(name, passive=True, timeout=10)).declaration_result
                found[name] = (told.message_count or 0, told.consumer_count or 0)
    except (AMQPError, OSError, TimeoutError) as error:
        raise LaundryError(f"{type(error).__name__} {error}") from error
    return found


def _dead_letters(system: System) -> str:
    names = [queue.dead for queue in PLAN.queues if queue.dead]
    totals = queue_totals(system.broker, of=names)
    found = {name: int(totals[name]["messages"]) for name in names}
    if dead := {name: count for name, count in found.items() if count}:
        listed = ", ".join(f"{name} {count:,}" for name, count in dead.items())
        raise LaundryError(f"{listed}: laundry dlq list")
    return "none"


def _database(system: System, name: str) -> str:
    return asyncio.run(_database_of(system.databases[name], name))


async def _database_of(url: str, name: str) -> str:
    code = revision.known(database_owners()[name])
    has = await databases.rows(url, name, "SELECT to_regclass('public.outbox') IS NOT NULL")
    told = await databases.revision_of(url, name)
    if code is not None and told != code.revisions[-1]:
        raise LaundryError(f"it is at revision {told}, and the code at {code.revisions[-1]}")
    if not has[0][0]:
        return f"revision {told}"
    oldest = float((await databases.rows(url, name, OLDEST))[0][0])
    if oldest > OUTBOX_SECONDS:
        raise LaundryError(f"the oldest row of its outbox has waited for {oldest:.0f} s")
    return f"revision {told}, nothing waits in its outbox for over {OUTBOX_SECONDS} s"


def _bucket(system: System) -> str:
    first = next(objects.listed(system.bucket), None)
    return f"{system.bucket.bucket} answers" + ("" if first else ", and is empty")
