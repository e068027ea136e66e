"""What Compose runs before the migrations, against a real database server and object store."""

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator

import asyncpg
import pytest

from laundry_servers.addresses import DatabaseAddress, ObjectStoreAddress
from laundry_servers.postgres import drop_database
from laundry_testing import s3

pytestmark = pytest.mark.servers


@pytest.fixture
def name(postgres: DatabaseAddress) -> str:
    return f"test_{secrets.token_hex(6)}"


@pytest.fixture
def bucket_name(object_store: ObjectStoreAddress) -> Iterator[str]:
    name = f"test-{secrets.token_hex(6)}"
    yield name
    s3.empty_and_delete_bucket(object_store, name)


def prepare(
    postgres: DatabaseAddress, store: ObjectStoreAddress, bucket: str, passwords: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "LAUNDRY_DATABASE_ADMIN_URL": postgres.url(),
        "LAUNDRY_DATABASE_PASSWORDS": json.dumps(passwords),
        "LAUNDRY_S3_ENDPOINT_URL": store.endpoint_url,
        "LAUNDRY_S3_BUCKET": bucket,
        "LAUNDRY_S3_ACCESS_KEY": store.access_key,
        "LAUNDRY_S3_SECRET_KEY": store.secret_key,
    }
    command = [sys.executable, "-m", "laundry.deploy.prepare"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


async def test_databases_and_bucket_are_made_and_a_second_run_changes_the_password(
    postgres: DatabaseAddress, object_store: ObjectStoreAddress, name: str, bucket_name: str
) -> None:
    try:
        for password in ("first", "second"):
            done = prepare(postgres, object_store, bucket_name, {name: password})
            assert done.returncode == 0, done.stderr
            connection = await asyncpg.connect(postgres.url(name, name, password), timeout=10)
            await connection.execute("CREATE TABLE IF NOT EXISTS mine (id int)")
            await connection.close()
        buckets = s3.client(object_store).list_buckets()["Buckets"]
        assert bucket_name in [bucket["Name"] for bucket in buckets]
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(postgres.url(name, name, "first"), timeout=10)
    finally:
        await drop_database(postgres, name)
        connection = await asyncpg.connect(postgres.url(), timeout=10)
        await connection.execute(f'DROP ROLE IF EXISTS "{name}"')
        await connection.close()


@pytest.mark.parametrize("missing", ["LAUNDRY_DATABASE_ADMIN_URL", "LAUNDRY_S3_SECRET_KEY"])
def test_a_missing_variable_is_named(missing: str) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "LAUNDRY_DATABASE_ADMIN_URL": "postgresql://nobody@127.0.0.1:1/x",
        "LAUNDRY_DATABASE_PASSWORDS": "{}",
        "LAUNDRY_S3_BUCKET": "x",
        "LAUNDRY_S3_ACCESS_KEY": "x",
        "LAUNDRY_S3_SECRET_KEY": "x",
    }
    del environment[missing]
    command = [sys.executable, "-m", "laundry.deploy.prepare"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert f"{missing} is not set" in done.stderr
