"""A PostgreSQL data folder whose creation was interrupted is created again."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import asyncpg
import pytest

from laundry_servers.errors import LaundryError
from laundry_servers.postgres import UNPRIVILEGED_UID, Postgres

pytestmark = [pytest.mark.servers, pytest.mark.timeout(200)]

PREPARE = """
import sys
from pathlib import Path
from laundry_servers.postgres import Postgres
Postgres(Path(sys.argv[1]), password="first", durable=False).prepare()
"""


async def _logged_in_as(server: Postgres) -> str:
    connection = await asyncpg.connect(server.address.url(), timeout=10)
    try:
        return str(await connection.fetchval("SELECT current_user"))
    finally:
        await connection.close()


def test_one_killed_while_it_was_made_hinders_no_later_start(tmp_path: Path) -> None:
    folder = tmp_path / "postgres"
    making = subprocess.Popen([sys.executable, "-c", PREPARE, str(folder)])
    deadline = time.monotonic() + 60
    # The file is there long before the superuser has a password.
    while not list(folder.glob("*/data/PG_VERSION")):
        assert making.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    making.kill()
    making.wait(10)
    assert not (folder / "data").exists()

    server = Postgres(folder, password="another", durable=False)
    server.start()
    try:
        assert asyncio.run(_logged_in_as(server)) == "laundry_admin"
    finally:
        server.stop()
    assert {each.name for each in folder.iterdir()} == {"data", "log"}


def test_what_stands_in_the_way_of_the_data_is_named(tmp_path: Path) -> None:
    (tmp_path / "data" / "something").mkdir(parents=True)
    with pytest.raises(LaundryError, match="is in the way"):
        Postgres(tmp_path, durable=False).prepare()
    assert (tmp_path / "data" / "something").is_dir()


def test_one_killed_whose_end_nobody_has_noticed_yet_hinders_no_start(tmp_path: Path) -> None:
    server = Postgres(tmp_path, durable=False)
    server.prepare()
    # As the machine's first process leaves it for a moment: ended, but its id is still taken.
    killed = subprocess.Popen(["true"], user=UNPRIVILEGED_UID if os.geteuid() == 0 else None)
    os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)
    (server.data / "postmaster.pid").write_text(f"{killed.pid}\n{server.data}\n")
    noticing = threading.Timer(0.5, killed.wait)
    noticing.start()
    try:
        server.start()
        assert asyncio.run(_logged_in_as(server)) == "laundry_admin"
    finally:
        server.stop()
        noticing.join()
