"""What the services and the phones have of what was promised, asked of each store by itself."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg

from laundry.bench.stage import Stage
from laundry.faults.history import REPEATED, WATCHED
from laundry.faults.load import Load

TASKS = "SELECT id::text, status FROM tasks WHERE branch_id = $1"
EXAMPLES = "SELECT task_id FROM training_examples WHERE branch_id = $1"
NOTIFICATIONS = """
SELECT user_id, event_id, kind, state, data->>'preference_id' AS preference_id
FROM notifications WHERE branch_id = $1
"""
ON_ITS_WAY = ("sent", "pending")


@dataclass(frozen=True)
class Effects:
    """What became of the promises; every list names breaches.

    Attributes:
        tasks: state of each task by its id.
    """

    tasks: Mapping[str, str]
    doubled: list[str]
    silent: list[str]
    repeated: list[str]


async def look_at(stage: Stage, load: Load) -> Effects:
    """Compare every store with the ledger."""
    tasks = {row["id"]: row["status"] for row in await rows(stage, "helper", TASKS, load.branch)}
    doubled = [
        f"{row['effect']} of {row['about']}"
        for service in WATCHED
        for row in await rows(stage, service, REPEATED)
    ]
    told = await rows(stage, "notification", NOTIFICATIONS, load.branch)
    doubled += _twice("notification of", ((row["user_id"], row["event_id"]) for row in told))
    examples = {row["task_id"] for row in await rows(stage, "mlops", EXAMPLES, load.branch)}
    silent = [f"confirmation of {task}" for task in sorted(load.ledger.confirmed - examples)]
    hears = {
        (row["user_id"], row["preference_id"])
        for row in told
        if row["kind"] == "branch_match" and row["state"] in ON_ITS_WAY
    }
    stated = load.ledger.stated.items()
    silent += [f"preference {stating[1]}" for stating in stated if stating not in hears]
    # Each customer likes what one branch said once.
    repeated = _twice("recommendation to", (row["user_id"] for row in told if row["kind"] == "branch_match"))
    alerts = Counter(await shown(stage, load.phone))
    silent += [f"fault of {name}" for name in load.ledger.alarms if name not in alerts]
    repeated += [f"alert of {name}" for name, count in alerts.items() if count > 1]
    repeated += _twice("push to", await customers_alerts(stage, load))
    return Effects(tasks, doubled, silent, repeated)


def _twice(what: str, found: Iterable[Any]) -> list[str]:
    return [f"{what} {name}" for name, count in Counter(found).items() if count > 1]


async def rows(stage: Stage, service: str, query: str, *arguments: Any) -> list[Mapping[str, Any]]:
    """Ask a service's own database."""
    connection = await asyncpg.connect(stage.document["postgres_urls"][service], timeout=10)
    try:
        return [dict(row) for row in await connection.fetch(query, *arguments, timeout=30)]
    finally:
        await connection.close(timeout=2)


async def shown(stage: Stage, phone: str) -> list[str]:
    """Return the equipment of each alert of a reported fault that a phone shows.

    An alert with the tag of another replaces it. That a washer fell silent later is another fault.
    """
    async with stage.client("fcm") as fcm:
        messages = (await fcm.get("/messages", params={"token": phone})).json()
    alerts = {m["data"].get("event_id", m["data"].get("notification_id")): m["data"] for m in messages}
    return [str(data.get("equipment_id")) for data in alerts.values() if data.get("fault_code")]


async def customers_alerts(stage: Stage, load: Load) -> list[str]:
    """Return the phone of each recommendation that a customer's phone shows."""
    async with stage.client("fcm") as fcm:
        messages = (await fcm.get("/messages")).json()
    own = [m for m in messages if m["token"].startswith(load.customers)]
    return [token for token, _ in {(m["token"], m["data"].get("event_id")) for m in own}]
