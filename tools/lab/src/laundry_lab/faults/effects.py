"""Checks each store by itself for the effects that were promised."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg

from laundry_lab.bench.stage import Stage
from laundry_lab.faults.history import REPEATED, WATCHED
from laundry_lab.faults.load import Load

TASKS = "SELECT id::text, status FROM tasks WHERE branch_id = $1"
EXAMPLES = "SELECT task_id FROM training_examples WHERE branch_id = $1"
NOTIFICATIONS = """
SELECT user_id, event_id, kind, state, data->>'preference_id' AS preference_id,
    data->>'equipment_id' AS equipment, coalesce((data->>'count')::int, 1) AS troubles
FROM notifications WHERE branch_id = $1
"""
ON_ITS_WAY = ("sent", "pending")


@dataclass(frozen=True)
class Effects:
    """The state of the promises; every list names breaches.

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
    # Before the history: whatever an alert counts stands there.
    counted = await counted_faults(stage, load.phone)
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
    faults = [row for row in told if row["kind"] == "equipment_fault"]
    rang = await shown(stage, load.phone) | _sent(faults)
    silent += [f"fault of {name}" for name in load.ledger.alarms if name not in rang]
    # Each fault stands in exactly one alert, whatever was sent again.
    sent = sum(row["troubles"] for row in faults if row["state"] == "sent")
    on_its_way = sum(row["troubles"] for row in faults if row["state"] in ON_ITS_WAY)
    if counted < sent:
        silent.append(f"{sent - counted} faults that no alert counts")
    if counted > on_its_way:
        repeated.append(f"{counted} faults by the phone's alerts, and {on_its_way} in the history")
    repeated += _twice("push to", await customers_alerts(stage, load))
    return Effects(tasks, doubled, silent, repeated)


async def rang_for(stage: Stage, load: Load) -> set[str]:
    """Return the equipment whose faults the owner's phone was told, by name or in a number."""
    told = await rows(stage, "notification", NOTIFICATIONS, load.branch)
    return await shown(stage, load.phone) | _sent(told)


def _sent(told: Iterable[Mapping[str, Any]]) -> set[str]:
    # An alert of very many names only as many as it has room for, and counts them all.
    return {row["equipment"] for row in told if row["kind"] == "equipment_fault" and row["state"] == "sent"}


def _twice(what: str, found: Iterable[Any]) -> list[str]:
    return [f"{what} {name}" for name, count in Counter(found).items() if count > 1]


async def rows(stage: Stage, service: str, query: str, *arguments: Any) -> list[Mapping[str, Any]]:
    """Ask a service's own database."""
    connection = await asyncpg.connect(stage.document["postgres_urls"][service], timeout=10)
    try:
        return [dict(row) for row in await connection.fetch(query, *arguments, timeout=30)]
    finally:
        await connection.close(timeout=2)


async def alerts_of(stage: Stage, phone: str) -> list[dict[str, Any]]:
    """Return the data of each push of a fault that a phone got, oldest first."""
    async with stage.client("fcm") as fcm:
        messages = (await fcm.get("/messages", params={"token": phone})).json()
    return [m["data"] for m in messages if m["data"].get("kind") == "equipment_fault"]


async def shown(stage: Stage, phone: str) -> set[str]:
    """Return the equipment that a phone's alerts have named."""
    return {
        name
        for data in await alerts_of(stage, phone)
        for name in (data["equipment_id"], *data["equipment_ids"].split(","))
    }


async def counted_faults(stage: Stage, phone: str) -> int:
    """Return how many faults a phone's alerts have told: of those with one tag, which replace each other, the
    one that told most. A push that was given up on may come after a newer one and show an older number.
    """
    most: dict[str, int] = {}
    for data in await alerts_of(stage, phone):
        most[data["tag"]] = max(int(data["faults"]), most.get(data["tag"], 0))
    return sum(most.values())


async def customers_alerts(stage: Stage, load: Load) -> list[str]:
    """Return the phone of each recommendation that a customer's phone shows."""
    async with stage.client("fcm") as fcm:
        messages = (await fcm.get("/messages")).json()
    own = [m for m in messages if m["token"].startswith(load.customers)]
    return [token for token, _ in {(m["token"], m["data"].get("event_id")) for m in own}]
