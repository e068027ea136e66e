"""Customers and their tastes: one preference against all of them, and the pushes that follow."""

import asyncio
import time
from statistics import median
from typing import Any

import httpx

from laundry_lab.bench import alerts
from laundry_lab.bench.scale.databases import administered, fill
from laundry_lab.bench.scale.growth import Reading
from laundry_lab.bench.scale.requests import Request, timed
from laundry_lab.bench.scale.sweeps import runs_of, swept
from laundry_lab.bench.scale.upgrades import upgraded
from laundry_lab.bench.stage import NotMeasured, Stage

# Each likes five of fifty things. The preference below names four and suits about one in thirty.
TASTES = """
TRUNCATE customers, customer_tags, preferences, preference_tags, matches, outbox CASCADE;
INSERT INTO customers (id, total) SELECT 'customer-' || n, 2.5 FROM generate_series(1, {rows}::int) AS n;
INSERT INTO customer_tags (tag, customer_id, weight)
SELECT 'tag-' || (abs(hashint4(n)::bigint) + 7 * part * part) % 50, 'customer-' || n, 0.5
FROM generate_series(1, {rows}::int) AS n, generate_series(0, 4) AS part
ON CONFLICT DO NOTHING;
"""
PHONES = """
TRUNCATE devices, notifications, deliveries, consents, inbox CASCADE;
INSERT INTO devices (token, user_id, role, platform, language, branches)
SELECT 'scale-phone-' || n, 'customer-' || n, 'customer', 'android', 'ko', '{{}}'
FROM generate_series(1, {rows}::int) AS n;
INSERT INTO consents (customer_id, given, per_week, stop_key)
SELECT 'customer-' || n, true, 2, 'scale-' || n FROM generate_series(1, {rows}::int) AS n;
"""
PREFERENCE = {
    "title": "Quiet evenings",
    "text": "A room to wait in, with books and a fire.",
    "tags": {"tag-1": 0.5, "tag-8": 0.5, "tag-29": 0.5, "tag-14": 0.5},
}
BRANCH = "scale-1"
STORED_WITHIN_S = 240.0
FAULTS_MEANWHILE = 5
RINGS_MS = 1000.0
LOOK_S = 0.5
REQUESTS = (
    Request(
        "branches that suit a customer", "search", "/branches/matching", "customer", subject="customer-1"
    ),
    Request("preferences of a branch", "search", f"/branches/{BRANCH}/preferences", "owner", [BRANCH]),
    Request(
        "notifications of a customer", "notification", "/notifications", "customer", subject="customer-1"
    ),
)


async def measure(stage: Stage, rows: int, branches: int) -> list[Reading]:
    """Fill both databases anew with so many customers and state a preference."""
    before = await runs_of(stage, "notification")
    await fill(stage, "search", TASTES, rows=rows)
    await fill(stage, "notification", PHONES, rows=rows)
    began = time.perf_counter()
    stated = await _state(stage)
    matched, took_ms = stated["matched"], 1000 * (time.perf_counter() - began)
    found = [Reading("match of one preference", "linear", rows, took_ms, note=f"{matched:,} customers suit")]
    telling = asyncio.create_task(_told(stage, stated["id"], matched))
    seconds = await alerts.times(stage, "faults while customers are told", faults=FAULTS_MEANWHILE)
    stored_s = await telling
    found.append(
        Reading(
            "a fault rings meanwhile",
            "page",
            rows,
            1000 * max(seconds),
            note=f"the slowest of {len(seconds)}; median {1000 * median(seconds):.0f} ms",
            at_most_ms=RINGS_MS,
        )
    )
    note = f"{matched / stored_s:,.0f}/s" if stored_s else ""
    found.append(
        Reading("until every customer has the notification", "linear", rows, 1000 * stored_s, note=note)
    )
    return [
        *found,
        *await timed(stage, REQUESTS, rows),
        # All devices are read, once an hour: see the decision on ten million rows.
        *await swept(stage, "notification", ["housekeeping"], rows, since=before, idle_growth="linear"),
        *await upgraded(stage, "notification", rows),
    ]


async def _state(stage: Stage) -> dict[str, Any]:
    async with stage.client("search") as client:
        client.timeout = httpx.Timeout(120)
        answer = await client.post(
            f"/branches/{BRANCH}/preferences", json=PREFERENCE, headers=stage.headers("owner", BRANCH)
        )
    if answer.status_code != 201:
        raise NotMeasured(f"scale, match: {answer.status_code} {answer.text[:150]}")
    stated: dict[str, Any] = answer.json()
    return stated


async def _told(stage: Stage, preference: str, matched: int) -> float:
    """Wait until the notifications are stored; returns the seconds since the preference was stated."""
    began = time.perf_counter()
    query = "SELECT count(*) FROM notifications WHERE about = $1"
    async with administered(stage, "notification") as connection:
        while await connection.fetchval(query, f"preference:{preference}") < matched:
            if time.perf_counter() - began > STORED_WITHIN_S:
                raise NotMeasured(f"scale, match: not all are told within {STORED_WITHIN_S:.0f} s")
            await asyncio.sleep(LOOK_S)
    return time.perf_counter() - began
