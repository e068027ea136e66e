"""Applies the topology and every service's migrations; ``python -m laundry.stack.migrations`` reads an order.

A program of its own, so that the libraries it needs (80 MB) do not stay in the supervisor's memory; and one
for all services, so that they are imported once. It is started early and is told when the servers are ready.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from laundry_events import broker_plan
from laundry_events.topology import PLAN
from laundry_servers.files import write_json
from laundry_servers.progress import Quiet
from laundry_service import migrate


def come_back(order: dict[str, str]) -> None:
    """Fill the databases and the bucket from a backup, and note what came back. Raises LaundryError."""
    from laundry.backup import restoring, system  # noqa: PLC0415 - seldom needed, and large

    here = system.of_stack(json.loads(order["document"]))
    found = restoring.restore(here, Path(order["folder"]), Quiet())
    write_json(Path(order["result"]), restoring.told(found))


async def carry_out(order: dict[str, Any]) -> None:
    """Apply the topology beside the migrations. Raises the first error, with what it concerns."""
    target = broker_plan.Target(**order["target"])
    topology = asyncio.to_thread(broker_plan.apply, target, PLAN, order["passwords"], nodes=order["nodes"])
    async with asyncio.TaskGroup() as group:
        group.create_task(topology)
        group.create_task(_migrate(order["migrations"]))


async def _migrate(databases: dict[str, tuple[str, str | None]]) -> None:
    # One after another: alembic's context is one for the whole process.
    for package, (url, served_by) in databases.items():
        try:
            await migrate.upgrade(package, url, served_by=served_by)
        except Exception as error:
            error.add_note(f"while migrating the database of {package}")
            raise


if __name__ == "__main__":
    asked = sys.stdin.read()
    if asked:  # EOF: the parent gave up
        given = json.loads(asked)
        if given["restore"]:
            come_back(given["restore"])
        asyncio.run(carry_out(given))
