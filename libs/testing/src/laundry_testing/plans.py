"""How many rows a query reads: a list whose index is missing shows at ten thousand rows, not at three."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from sqlalchemy import event

from laundry_service.storage.database import Database


async def rows_read(database: Database, call: Callable[[], Awaitable[object]]) -> int:
    """Return how many rows PostgreSQL reads for what ``call`` selects through ``database``."""
    seen: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        seen.append((statement, parameters))

    event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    try:
        await call()
    finally:
        event.remove(database.engine.sync_engine, "before_cursor_execute", note)
    total = 0
    async with database.engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        for statement, parameters in seen:
            found = await driver.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", *parameters)
            plan = json.loads(found) if isinstance(found, str) else found
            total += _rows(plan[0]["Plan"])
    return total


def _rows(node: dict[str, Any]) -> int:
    """Count what a plan's scans pass, with what they throw away."""
    here = 0
    if "Scan" in node["Node Type"] and "Relation Name" in node:
        passed = sum(value for name, value in node.items() if name.startswith("Rows Removed"))
        here = int((node["Actual Rows"] + passed) * node["Actual Loops"])
    return here + sum(_rows(each) for each in node.get("Plans", ()))
