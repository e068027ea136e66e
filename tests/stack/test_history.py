"""What has happened in a running stack is told, and told again to a consumer that joins it."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aio_pika
import asyncpg
import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

from laundry.demo.client import People, Services, until
from laundry.demo.photos import sample_photos
from laundry.history.log import opened
from laundry.history.replay import replay
from laundry.paths import StackPaths
from laundry_events import EventConsumer, EventMeta, Publisher, claim_once, make_broker
from laundry_events import Queue as PlannedQueue
from laundry_events.broker_plan import Target, apply
from laundry_events.events import TaskConfirmed
from laundry_events.plan import EVENTS_EXCHANGE
from laundry_events.tables import create_inbox
from laundry_events.topology import PLAN
from laundry_servers.files import read_json
from laundry_service.storage.database import Database
from tests.stack.conftest import laundry

pytestmark = [pytest.mark.stack, pytest.mark.servers, pytest.mark.timeout(300)]

QUEUE = "task.confirmed.statistics"
WITH_STATISTICS = replace(
    PLAN,
    queues=(*PLAN.queues, PlannedQueue(QUEUE, ("task.confirmed",), "statistics", "confirmations to count")),
)
PRODUCERS = ("helper", "monitoring", "search", "mlops", "operations")
metadata = sa.MetaData()
confirmations = sa.Table(
    "confirmations",
    metadata,
    sa.Column("branch_id", sa.Text, primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
)


@dataclass
class Statistics:
    """A projection: how many tasks each branch confirmed on each day."""

    database: Database

    async def count(self, event: TaskConfirmed, meta: EventMeta) -> None:
        async with self.database.transaction() as session:
            if await claim_once(session, "statistics.task-confirmed", meta.id):
                await session.execute(
                    sa.text(
                        "INSERT INTO confirmations VALUES (:branch, :day, 1) ON CONFLICT (branch_id, day) "
                        "DO UPDATE SET number = confirmations.number + 1"
                    ),
                    {"branch": event.branch_id, "day": event.confirmed_at.date()},
                )

    async def all(self) -> dict[tuple[str, date], int]:
        async with self.database.session() as session:
            rows = await session.execute(sa.select(confirmations))
            return {(row.branch_id, row.day): row.number for row in rows}


@asynccontextmanager
async def statistics(amqp_url: str, database_url: str) -> AsyncIterator[Statistics]:
    """A new consumer, as it starts for the first time: with empty tables and a queue of its own."""
    made = Statistics(Database(database_url, pool=2))
    async with made.database.engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
        await connection.run_sync(lambda own: create_inbox(Operations(MigrationContext.configure(own))))
    publisher = Publisher(amqp_url, source="statistics")
    broker = make_broker(amqp_url, service="statistics", graceful_timeout_s=5)
    consumer = EventConsumer(broker, publisher, WITH_STATISTICS, service="statistics", service_version="1")
    consumer.on(QUEUE, TaskConfirmed, prefetch=10)(made.count)
    await publisher.wait_connected()
    await broker.start()
    try:
        yield made
    finally:
        await broker.stop()
        await publisher.stop()
        await made.database.close()


class Branch:
    """A branch in which photos are taken and confirmed."""

    def __init__(self, services: Services, people: People, name: str) -> None:
        self.services = services
        self.name = name
        self.sent = 0
        self.helper = people.person("helper", f"helper-{name}", name)
        self.owner = people.person("owner", f"owner-{name}", name)

    async def submit(self) -> str:
        self.sent += 1
        _, photo = sample_photos(1, seed=hash((self.name, self.sent)))[0]
        task = await self.services.json(
            "POST",
            "helper",
            "/tasks",
            who=self.helper,
            files={"photo": ("photo.jpg", photo, "image/jpeg")},
            data={"branch_id": self.name},
        )
        return str(task["id"])

    async def is_read(self, task: str) -> bool:
        found = await self.services.json("GET", "helper", f"/tasks/{task}", who=self.helper)
        return bool(found["status"] != "submitted")

    async def confirm(self) -> str:
        """Submit a photo, wait for its reading, confirm it."""
        task = await self.submit()
        await until(lambda: self.is_read(task), within_s=60, what="the reading")
        body = {"labels": [{"label": "shirt", "count": 1}]}
        await self.services.call("POST", "helper", f"/tasks/{task}/confirmation", who=self.owner, json=body)
        return task


async def run(folder: Path, *arguments: str, code: int = 0) -> str:
    done = await asyncio.to_thread(laundry, folder, *arguments)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


async def counted(url: str) -> dict[tuple[str, date], int]:
    """What mlops has, counted by itself."""
    connection = await asyncpg.connect(url, timeout=10)
    rows = await connection.fetch("SELECT branch_id, confirmed_at FROM training_examples")
    await connection.close()
    return dict(Counter((row["branch_id"], row["confirmed_at"].date()) for row in rows))


async def test_a_task_tells_its_history_and_what_passed_by_a_queue_is_found_and_fed(
    stack: dict[str, Any], stack_folder: Path, services: Services, people: People
) -> None:
    branch = Branch(services, people, "told-1")
    task = await branch.confirm()

    async def told() -> list[dict[str, Any]] | None:
        lines = (await run(stack_folder, "history", task, "--json")).splitlines()
        found = [json.loads(line) for line in lines]
        whole = len(found) == 3 and all(
            state == "done" for each in found for state in each["effects"].values()
        )
        return found if whole else None

    found, _ = await until(told, within_s=60, what="three events and their effects")
    assert [each["event"] for each in found] == ["TaskSubmitted", "TaskRead", "TaskConfirmed"]
    assert [each["who"] for each in found][::2] == [branch.helper.name, branch.owner.name]
    assert found[2]["effects"] == {"task.confirmed": "done"}
    assert task not in await run(stack_folder, "history", "--unhandled", "--json")

    connection = await aio_pika.connect(stack["amqp_urls"][0], timeout=10)
    async with connection, connection.channel() as channel:
        queue = await channel.get_queue("task.read", ensure=False)
        await queue.unbind(EVENTS_EXCHANGE, "task.read")
        lost = await branch.submit()
        assert "task.read" in await run(stack_folder, "topology", "verify", code=1)

        async def missed() -> bool:
            done = await asyncio.to_thread(laundry, stack_folder, "history", "--unhandled", "--json")
            return done.returncode == 1 and lost in done.stdout

        await until(missed, within_s=60, what="the reading that passed by")
        assert not await branch.is_read(lost)
        await run(stack_folder, "topology", "apply", "--yes")
    await run(stack_folder, "replay", "--unhandled", "--into", "task.read", "--reason", "it was not bound")
    await until(lambda: branch.is_read(lost), within_s=60, what="the reading")
    await run(stack_folder, "history", "--unhandled")
    acts = await run(stack_folder, "audit", "list", "--action", "history.replay", "--json")
    assert {json.loads(line)["record"]["outcome"] for line in acts.splitlines()} == {"asked", "done"}


async def test_a_new_projection_joins_a_running_system_and_knows_what_was_before(
    stack: dict[str, Any],
    stack_folder: Path,
    services: Services,
    people: People,
    database_url: str,
) -> None:
    def pids() -> dict[str, int]:
        document = read_json(StackPaths(stack_folder).stack_file)
        assert document is not None
        return {name: document["pids"][name] for name in PRODUCERS}

    before, branches = pids(), [Branch(services, people, f"counted-{number}") for number in (1, 2)]
    for branch in branches:
        await branch.confirm()
    address = urlsplit(stack["management_urls"][0])
    target = Target(f"http://{address.hostname}:{address.port}", str(address.username), str(address.password))
    amqp_url = stack["amqp_urls"][0]
    await asyncio.to_thread(apply, target, WITH_STATISTICS, None, nodes=1)
    try:
        async with statistics(amqp_url, database_url) as joined:
            # What happens while it learns of the past is counted once, by whichever way it comes first.
            confirming = asyncio.create_task(branches[0].confirm())
            async with opened([amqp_url], stack["postgres_urls"]["operations"]) as log:
                past = log.read(lambda each: isinstance(each.event, TaskConfirmed))
                assert await replay(log.connection, QUEUE, past, silent=True) >= 2
            await confirming
            await branches[1].confirm()

            async def agrees() -> bool:
                found = await joined.all()
                truth = await counted(stack["postgres_urls"]["mlops"])
                own = {key for key in truth if key[0].startswith("counted-")}
                return bool(own) and all(found.get(key) == truth[key] == 2 for key in own)

            await until(agrees, within_s=60, what="the same counts as those of mlops")
        assert pids() == before, "nobody was restarted"
    finally:
        await run(stack_folder, "topology", "apply", "--yes")
