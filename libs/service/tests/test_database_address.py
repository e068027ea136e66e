"""Addresses of databases as operators have them, and a pooler that cannot be used."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from laundry_events.dsn import plain_dsn
from laundry_servers.ports import free_port, is_open
from laundry_service.http.health import Check, health_router
from laundry_service.storage.address import asyncpg_url
from laundry_service.storage.database import Database
from laundry_service.storage.pooler import TransactionPooling, refuse_transaction_pooling, shared


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg"])
def test_every_way_to_write_an_address_means_the_same(scheme: str) -> None:
    assert asyncpg_url(f"{scheme}://kim:p%40ss@db:5432/helper") == (
        "postgresql+asyncpg://kim:p%40ss@db:5432/helper"
    )


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=40))
def test_a_password_survives_both_ways(password: str) -> None:
    quoted = "".join(f"%{byte:02X}" for byte in password.encode())
    found = urlsplit(plain_dsn(asyncpg_url(f"postgres://kim:{quoted}@db/helper?sslmode=require")))
    assert unquote(found.password or "") == password
    assert found.query == "sslmode=require"


@pytest.mark.parametrize("address", ["mysql://kim:secret@db/helper", "kim:secret@db", ""])
def test_what_is_no_address_is_refused_without_its_password(address: str) -> None:
    with pytest.raises(ValueError, match="postgresql://") as refusal:
        asyncpg_url(address)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("met", "is_shared"),
    [
        ([[1, 2], [1, 2]], False),
        ([[1, 1], [1, 1]], True),
        ([[1, 2], [2, 1]], True),
        ([[1, 2], [1, 3]], True),
    ],
)
def test_processes_that_are_shared_are_told(met: list[list[int]], is_shared: bool) -> None:
    assert shared(met) is is_shared


@pytest.mark.servers
async def test_a_database_itself_is_taken(database_url: str) -> None:
    await refuse_transaction_pooling(database_url)


@pytest.fixture
def pooler(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Iterator[str]:
    """PgBouncer before the test's database, in the mode that the test names."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        pytest.skip("PgBouncer is not installed (Debian's package pgbouncer)")
    behind = urlsplit(plain_dsn(database_url))
    port = free_port()
    users = tmp_path / "users.txt"
    users.write_text(f'"{behind.username}" "{behind.password}"\n')
    config = tmp_path / "pgbouncer.ini"
    name = behind.path[1:]
    config.write_text(
        f"""[databases]
{name} = host={behind.hostname} port={behind.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {users}
pool_mode = {request.param}
ignore_startup_parameters = extra_float_digits,jit
logfile = {tmp_path / "pgbouncer.log"}
pidfile = {tmp_path / "pgbouncer.pid"}
"""
    )
    for folder in (tmp_path, *tmp_path.parents[:3]):
        folder.chmod(0o755)
    tmp_path.chmod(0o777)
    # It refuses to run as root.
    process = subprocess.Popen([program, *(["-u", "nobody"] if os.getuid() == 0 else []), str(config)])
    try:
        ends_at = time.monotonic() + 20
        while not is_open(port):
            assert process.poll() is None and time.monotonic() < ends_at, "PgBouncer does not start"
            time.sleep(0.02)
        yield database_url.replace(f":{behind.port}/", f":{port}/")
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.servers
@pytest.mark.parametrize("pooler", ["session"], indirect=True)
async def test_a_pooler_that_keeps_sessions_whole_is_taken(pooler: str) -> None:
    await refuse_transaction_pooling(pooler)


@pytest.mark.servers
@pytest.mark.parametrize("pooler", ["transaction", "statement"], indirect=True)
async def test_a_pooler_that_tears_sessions_apart_is_refused_with_what_to_do(pooler: str) -> None:
    with pytest.raises(TransactionPooling, match="pool_mode=session"):
        await refuse_transaction_pooling(pooler)
    database = Database(pooler)
    app = FastAPI()
    app.include_router(health_router([Check("database", database.ping)]))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        answer = await client.get("/readyz")
    await database.close()
    assert answer.status_code == 503
    assert "pool_mode=session" in answer.json()["checks"]["database"]
    done = subprocess.run(
        [sys.executable, "-m", "laundry_service.migrate", "helper"],
        env={"LAUNDRY_DATABASE_URL": pooler},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Not migrated: the database is behind a pooler")


def migrated(url: str, package: str = "helper") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "laundry_service.migrate", package],
        env={**os.environ, "LAUNDRY_DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_migration_says_whether_running_it_again_may_help() -> None:
    away = migrated(f"postgresql://kim:secret@127.0.0.1:{free_port()}/helper")
    assert away.returncode == 75
    assert away.stderr.startswith("Not migrated: ")
    assert "secret" not in away.stderr
    # The chart's Job ends with its first pod then.
    assert migrated("mysql://kim:secret@db/helper").returncode == 1


@pytest.mark.servers
def test_a_login_that_is_not_there_yet_may_come_and_a_broken_image_does_not_mend(database_url: str) -> None:
    stranger = urlsplit(database_url)._replace(scheme="postgresql")
    stranger = stranger._replace(netloc=f"nobody:wrong@{stranger.hostname}:{stranger.port}")
    assert migrated(stranger.geturl()).returncode == 75
    broken = migrated(database_url, "a_package_that_the_image_lacks")
    assert broken.returncode == 1
    assert "ModuleNotFoundError" in broken.stderr
