"""Where the audits are: one table in each database that keeps one, and reading them all together."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg

from laundry.paths import stack_paths
from laundry.stack import state
from laundry_catalogue import SERVICES, Need, audited
from laundry_servers.errors import LaundryError
from laundry_service.audit.chain import Checker, Head, Row

VARIABLE = "LAUNDRY_AUDIT_DATABASE_URLS"
TIMEOUT_SECONDS = 10.0
BATCH = 1000
ROWS = """
SELECT number, previous, hash, record::text AS record, audit_shown(record) AS shown, {repeated} FROM audit
WHERE number > $1
ORDER BY number LIMIT $2
"""
REPLACEABLE = frozenset(each.name for each in SERVICES if Need.PROVIDER in each.needs)
"""The services that an installation may be without: another identity provider than ours."""

REPEATED = {"operations": ("by", "action", "queue", "fingerprint", "object")}
COLUMNS = ("by", "action", "object")
SEALED = """
SELECT pg_get_userbyid(relowner) <> current_user AND NOT pg_has_role(relowner, 'MEMBER')
   AND NOT has_table_privilege('audit', 'UPDATE, DELETE, TRUNCATE')
FROM pg_class WHERE oid = 'audit'::regclass
"""


@dataclass(frozen=True)
class Entry:
    """A record, with the service whose audit has it and its place there."""

    service: str
    number: int
    hash: str
    previous: str
    record: dict[str, Any]

    def document(self) -> dict[str, Any]:
        """Return it as it is exported."""
        chain = {"number": self.number, "previous": self.previous, "hash": self.hash}
        return {"service": self.service, **chain, "record": self.record}


@dataclass(frozen=True)
class Wanted:
    """Which records are selected; an empty condition matches all."""

    since: datetime | None = None
    until: datetime | None = None
    by: str | None = None
    action: str | None = None
    object: str | None = None

    def takes(self, record: dict[str, Any]) -> bool:
        """Whether a record is selected."""
        at = datetime.fromisoformat(record["at"])
        return (
            (self.since is None or at >= self.since)
            and (self.until is None or at < self.until)
            and (self.by is None or record.get("by") == self.by)
            and (self.action is None or str(record.get("action", "")).startswith(self.action))
            and (self.object is None or self.object in (record.get("object"), record.get("id")))
        )


def addresses(services: Iterable[str] | None) -> dict[str, str]:
    """Return the databases to look at, by service: all that there are, unless some are named.

    Raises:
        LaundryError: one is missing that is named, or that no installation is without.
    """
    chosen = list(services or audited())
    unknown = sorted(set(chosen) - set(audited()))
    if unknown:
        raise LaundryError(f"{', '.join(unknown)} keeps no audit. These do: {', '.join(audited())}.")
    return databases(chosen, spared=frozenset() if services else REPLACEABLE)


def databases(services: Iterable[str], *, spared: Collection[str] = ()) -> dict[str, str]:
    """Return the addresses of these services' databases.

    Args:
        spared: those that may be missing.

    Raises:
        LaundryError: another one is.
    """
    chosen, named = list(services), os.environ.get(VARIABLE)
    if not named:
        here: dict[str, str] = state.running_stack(stack_paths())["postgres_urls"]
        if absent := [name for name in chosen if name not in here and name not in spared]:
            raise state.left_out(*absent)
        return {name: here[name] for name in chosen if name in here}
    try:
        urls: dict[str, str] = json.loads(named)
        return {name: urls[name] for name in chosen if name in urls or name not in spared}
    except (ValueError, KeyError, TypeError) as error:
        raise LaundryError(
            f'{VARIABLE} is a JSON object, {{"<service>": "postgresql://..."}}, for {", ".join(chosen)}.'
        ) from error


@asynccontextmanager
async def connected(service: str, url: str) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """Connect as the service does. Raises LaundryError."""
    try:
        connection: asyncpg.Connection[Any] = await asyncpg.connect(
            url.replace("postgresql+asyncpg://", "postgresql://", 1),
            timeout=TIMEOUT_SECONDS,
            command_timeout=3 * TIMEOUT_SECONDS,
        )
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError) as error:
        raise LaundryError(
            f"The database of {service} does not answer ({type(error).__name__} {error}). See: laundry status"
        ) from error
    try:
        yield connection
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise LaundryError(f"The database of {service} cannot be read: {error}") from error
    finally:
        await connection.close(timeout=TIMEOUT_SECONDS)


async def rows(connection: Any, service: str, *, after: int = 0) -> AsyncIterator[tuple[Row, str]]:
    """Read an audit's rows, oldest first, a thousand at a time; each with its record as people see it: with
    names in place of pseudonyms, as far as they are known.
    """
    columns = REPEATED.get(service, COLUMNS)
    query = ROWS.format(repeated=", ".join(f'"{name}"' for name in columns))
    while True:
        found = await connection.fetch(query, after, BATCH)
        for row in found:
            repeated = {name: row[name] for name in columns}
            yield Row(row["number"], row["previous"], row["hash"], row["record"], repeated), row["shown"]
        if len(found) < BATCH:
            return
        after = found[-1]["number"]


async def entries(urls: dict[str, str], after: dict[str, int] | None = None) -> list[Entry]:
    """Read all audits together, by time."""

    async def read(service: str, url: str) -> list[Entry]:
        async with connected(service, url) as connection:
            start = (after or {}).get(service, 0)
            return [
                Entry(service, row.number, row.hash, row.previous, json.loads(shown))
                async for row, shown in rows(connection, service, after=start)
            ]

    found = await asyncio.gather(*(read(service, url) for service, url in urls.items()))
    # Stable, so that what one service wrote stays in its order.
    return sorted((entry for some in found for entry in some), key=lambda entry: str(entry.record["at"]))


@dataclass(frozen=True)
class Verified:
    """The result of checking one audit. ``sealed``: the service's own login cannot change it."""

    service: str
    rows: int
    head: Head
    faults: list[str]
    sealed: bool


async def verify(service: str, url: str, anchors: Iterable[Head]) -> Verified:
    """Check one audit from its first row to its last."""
    checker = Checker()
    checker.expect(anchors)
    # One snapshot: rows that are added later are for the next time.
    async with (
        connected(service, url) as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        async for row, _ in rows(connection, service):
            checker.take(row)
        sealed = bool(await connection.fetchval(SEALED))
    return Verified(service, checker.rows, checker.head, checker.end(), sealed)
