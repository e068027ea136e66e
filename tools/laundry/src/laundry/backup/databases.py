"""The databases of a backup: one moment for all of them, dumped and restored by PostgreSQL's own programs."""

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import asyncpg

from laundry_catalogue import database_owners
from laundry_events import outbox_rows
from laundry_events.outbox_rows import Connection
from laundry_servers import postgres
from laundry_servers.errors import LaundryError
from laundry_servers.process import base_environment
from laundry_service.storage import revision

CONNECT_SECONDS = 10.0
PROGRAM_SECONDS = 3600.0
SESSION = {
    "application_name": "laundry-backup",
    # Another backup holds the outboxes; or a relay publishes to a queue that answers slowly.
    "lock_timeout": "20s",
    # A host that vanishes must not hold the outboxes.
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "2",
}
ALEMBIC = revision.Known((), None, "")
# Of identity, the one service whose tables Django makes.
DJANGO = revision.Known((), "people", "")
AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A database as it was at one moment; it can be dumped while its connection is open."""

    url: str
    name: str
    revision: str


class Held:
    """The databases while none of their relays publishes."""

    def __init__(self, connections: Mapping[str, Connection], urls: Mapping[str, str]) -> None:
        self._connections, self._urls = connections, urls

    async def snapshots(self) -> dict[str, Snapshot]:
        """Take each database's state as of now, and let the relays go on. Raises LaundryError."""
        made = {name: await self._snapshot(name) for name in self._connections}
        for connection in self._connections.values():
            await outbox_rows.release(connection)
        return made

    async def _snapshot(self, name: str) -> Snapshot:
        connection = self._connections[name]
        await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        exported = await connection.fetchval("SELECT pg_export_snapshot()")
        return Snapshot(self._urls[name], str(exported), await _revision(connection, name))


@asynccontextmanager
async def held(urls: Mapping[str, str]) -> AsyncIterator[Held]:
    """Keep the services from publishing what they store, until the snapshots are taken.

    Raises:
        LaundryError: a database does not answer, or somebody else holds it.
    """
    async with AsyncExitStack() as stack:
        connections: dict[str, Connection] = {}
        for name, url in urls.items():
            with _said(name):
                connections[name] = connection = await _connect(url)
                stack.push_async_callback(connection.close, timeout=CONNECT_SECONDS)
                await outbox_rows.hold(connection)
        yield Held(connections, urls)


def dump(snapshot: Snapshot, file: Path) -> None:
    """Write a database into a file, in pg_dump's own format. Raises LaundryError."""
    options = ["--format=custom", f"--snapshot={snapshot.name}", f"--file={file}"]
    _program("pg_dump", snapshot.url, options)


async def refuse_those_in_use(urls: Mapping[str, str]) -> None:
    """Look whether services are connected: what they do would be mixed with what is restored.

    Raises:
        LaundryError: some are.
    """
    for name, url in urls.items():
        with _said(name):
            connection = await _connect(url)
            try:
                others = await connection.fetchval(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                    # The owner sees who else is connected, though not what they do. Autovacuum has no name.
                    " AND usename IS NOT NULL AND pid <> pg_backend_pid()"
                )
            finally:
                await connection.close(timeout=CONNECT_SECONDS)
        if others:
            raise LaundryError(
                f"{others} connections use the database of {name}. Stop the services first"
                " (docs/operations/backup.md)."
            )


async def restore(url: str, name: str, file: Path) -> None:
    """Replace everything in a database by a dump. Raises LaundryError."""
    with _said(name):
        connection = await _connect(url)
        try:
            async with connection.transaction():
                await connection.execute("DROP SCHEMA IF EXISTS public CASCADE")
                await connection.execute("CREATE SCHEMA public AUTHORIZATION pg_database_owner")
                await connection.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")
        finally:
            await connection.close(timeout=CONNECT_SECONDS)
        # All or nothing. Whoever restores becomes the owner; other rights come from the dump.
        options = ["--single-transaction", "--exit-on-error", "--no-owner", str(file)]
        await asyncio.to_thread(_program, "pg_restore", url, options)
        connection = await _connect(url)
        try:
            await connection.execute("ANALYZE")
        finally:
            await connection.close(timeout=CONNECT_SECONDS)


def refuse_newer(revisions: Mapping[str, str]) -> None:
    """Compare a backup's revisions with the code that is installed here.

    Raises:
        LaundryError: it has a database of another system, or one that newer code migrated.
    """
    packages = database_owners()
    if strangers := sorted(revisions.keys() - packages.keys()):
        raise LaundryError(
            f"The backup has databases that this system does not know: {', '.join(strangers)}."
        )
    for name, found in revisions.items():
        code = revision.known(packages[name])
        # Where a service's code is not installed, its own migration makes this check.
        if code is not None and found not in code.revisions:
            raise LaundryError(
                f"The backup is newer than this version: its database of {name} is at revision {found}."
                " Restore it with the version that made it, or a newer one."
            )


async def rows(url: str, name: str, query: str) -> Sequence[asyncpg.Record]:
    """Ask a database. Raises LaundryError."""
    with _said(name):
        connection = await _connect(url)
        try:
            found: Sequence[asyncpg.Record] = await connection.fetch(query)
            return found
        finally:
            await connection.close(timeout=CONNECT_SECONDS)
    raise AssertionError


async def revision_of(url: str, name: str) -> str:
    """Return a database's newest migration. Raises LaundryError."""
    with _said(name):
        connection = await _connect(url)
        try:
            return await _revision(connection, name)
        finally:
            await connection.close(timeout=CONNECT_SECONDS)
    raise AssertionError


async def _revision(connection: Connection, name: str) -> str:
    code = revision.known(database_owners()[name])
    found = await revision.applied(connection, code) if code is not None else await _of_any_tool(connection)
    if found is None:
        raise LaundryError(f"The database of {name} was never migrated; there is nothing to back up yet.")
    return found


async def _of_any_tool(connection: Connection) -> str | None:
    """The revision where the service's code is not installed, as in the image of backups."""
    for tool in (ALEMBIC, DJANGO):
        if (found := await revision.applied(connection, tool)) is not None:
            return found
    return None


async def _connect(url: str) -> Connection:
    return await asyncpg.connect(url, timeout=CONNECT_SECONDS, command_timeout=120, server_settings=SESSION)


@contextmanager
def _said(name: str) -> Iterator[None]:
    try:
        yield
    except asyncpg.LockNotAvailableError as error:
        raise LaundryError(
            f"The outbox of {name} is held by somebody else for more than 20 s: does another backup run?"
        ) from error
    except AWAY as error:
        raise LaundryError(f"The database of {name}: {type(error).__name__} {error}") from error


def _program(program: str, url: str, options: Sequence[str]) -> None:
    parts = urlsplit(url)
    host = f"{quote(unquote(parts.username or ''), safe='')}@{parts.netloc.rpartition('@')[2]}"
    # The password goes into a file: others can read command lines and environments.
    with tempfile.NamedTemporaryFile("w", prefix="laundry-", suffix=".pgpass") as passwords:
        fields = ("*", "*", "*", "*", unquote(parts.password or ""))
        passwords.write(":".join(field.replace("\\", "\\\\").replace(":", "\\:") for field in fields) + "\n")
        passwords.flush()
        done = subprocess.run(  # noqa: S603
            [
                _found(program),
                f"--dbname={urlunsplit(parts._replace(netloc=host))}",
                "--no-password",
                *options,
            ],
            env={**base_environment(), "PGPASSFILE": passwords.name, "PGCONNECT_TIMEOUT": "10"},
            capture_output=True,
            text=True,
            timeout=PROGRAM_SECONDS,
            check=False,
        )
    if done.returncode != 0:
        raise LaundryError(f"{program} failed: {done.stderr.strip()[-1500:]}")


def _found(program: str) -> str:
    """Prefer the programs that come with the native server: their version matches."""
    try:
        return str(postgres.binaries() / program)
    except LaundryError:
        path = shutil.which(program, path=os.environ.get("PATH"))
        if path is None:
            raise LaundryError(
                f"{program} is missing: install postgresql-client, of the server's version or newer."
            ) from None
        return path
