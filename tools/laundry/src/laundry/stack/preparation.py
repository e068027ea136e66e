"""Preparation before the services start: databases, the bucket, the topology, the migrations."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from laundry_servers.addresses import BrokerAddress, DatabaseAddress
from laundry_servers.errors import LaundryError
from laundry_servers.postgres import ensure_database, owner_of
from laundry_servers.process import base_environment
from laundry_servers.programs import require_program

SECONDS, RESTORE_SECONDS = 180.0, 7200.0
LOG_LINES = 20


def make_databases(
    address: DatabaseAddress, passwords: Mapping[str, str], owner_passwords: Mapping[str, str]
) -> dict[str, str]:
    """Make one database and role for each service; return their libpq URLs.

    Args:
        owner_passwords: of the databases that another login than the service's owns.
    """

    async def make() -> dict[str, str]:
        return {
            name: await ensure_database(
                address,
                name,
                name,
                password,
                owner=(owner_of(name), owner_passwords[name]) if name in owner_passwords else None,
            )
            for name, password in passwords.items()
        }

    return asyncio.run(make())


class Preparation:
    """The program that applies topology and migrations; it imports its libraries while the servers start."""

    def __init__(self, logs: Path) -> None:
        logs.mkdir(parents=True, exist_ok=True)
        self.log_file = logs / "preparation.log"
        setpriv = require_program("setpriv", package="util-linux")
        with self.log_file.open("wb") as log:
            self.child = subprocess.Popen(  # noqa: S603
                [setpriv, "--pdeathsig", "KILL", sys.executable, "-m", "laundry.stack.migrations"],
                env=base_environment(),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def carry_out(
        self,
        broker: BrokerAddress,
        broker_passwords: Mapping[str, str],
        nodes: int,
        migrations: Mapping[str, tuple[str, str | None]],
        *,
        restore: Mapping[str, str] | None = None,
    ) -> None:
        """Apply the topology and each package's migrations. Raises LaundryError.

        Args:
            migrations: by package, the owner's address and the login of the service if that is another.
            restore: a backup's folder to come back from first, the content of ``var/stack.json``, and in
                which file to say what came back.
        """
        target = {
            "management_url": broker.management_url,
            "username": broker.username,
            "password": broker.password,
            "ca_file": str(broker.tls.ca_file) if broker.tls else None,
        }
        order = {
            "target": target,
            "passwords": dict(broker_passwords),
            "nodes": nodes,
            "restore": restore,
            "migrations": {
                package: [url.replace("postgresql://", "postgresql+asyncpg://", 1), served_by]
                for package, (url, served_by) in migrations.items()
            },
        }
        try:
            # By standard input: passwords must not appear in a command line or an environment.
            seconds = RESTORE_SECONDS if restore else SECONDS
            self.child.communicate(json.dumps(order).encode(), timeout=seconds)
        except subprocess.TimeoutExpired:
            self.child.kill()
            raise LaundryError(
                f"Topology and migrations took longer than {seconds:.0f} s: {self.log_file}"
            ) from None
        if self.child.returncode != 0:
            lines = self.log_file.read_text(errors="replace").splitlines()
            tail = "\n".join(f"  | {line}" for line in lines[-LOG_LINES:])
            raise LaundryError(f"Topology or migrations failed. The log: {self.log_file}\n{tail}")
