"""Servers that somebody else runs serve the tests as well."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from laundry_servers.addresses import BrokerAddress, DatabaseAddress, ObjectStoreAddress

pytestmark = pytest.mark.servers


def test_another_pytest_run_takes_the_servers_that_it_is_given(
    rabbitmq: BrokerAddress, postgres: DatabaseAddress, object_store: ObjectStoreAddress
) -> None:
    given = {
        "LAUNDRY_AMQP_URL": rabbitmq.amqp_url,
        "LAUNDRY_MANAGEMENT_URL": rabbitmq.management_url,
        "LAUNDRY_POSTGRES_URL": postgres.url(),
        "LAUNDRY_S3_ENDPOINT_URL": object_store.endpoint_url,
        "LAUNDRY_S3_ACCESS_KEY": object_store.access_key,
        "LAUNDRY_S3_SECRET_KEY": object_store.secret_key,
    }
    tests = Path(__file__).with_name("test_plugin.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", str(tests), "-q", "-p", "no:cacheprovider", "-k", "not fcm"],
        env={**os.environ, **given},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "given (addresses in the environment)" in done.stdout
    assert "7 passed" in done.stdout
