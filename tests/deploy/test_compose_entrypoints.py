"""What Compose's containers run before their programs, with the files of their secrets: run as it stands."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from botocore.config import Config
from botocore.exceptions import ClientError

from laundry.deploy import environment
from laundry.paths import PROJECT, StackPaths
from laundry_servers.ports import free_port, is_open
from laundry_servers.process import Process, base_environment

CONTAINERS: dict[str, Any] = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())["services"]


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    environment.write(StackPaths(tmp_path))
    return tmp_path / "compose" / "secrets"


def entrypoint(container: str, secrets: Path, instead: dict[str, str] | None = None) -> list[str]:
    """The command of a container, its secrets and what is named lying elsewhere."""
    *shell, script = CONTAINERS[container]["entrypoint"]
    # Compose writes a dollar of the shell twice.
    script = script.replace("$$", "$").replace("/run/secrets", str(secrets))
    for old, new in (instead or {}).items():
        assert old in script
        script = script.replace(old, new)
    return [*shell, script]


def test_the_object_store_knows_its_one_pair_of_keys(secrets: Path, tmp_path: Path) -> None:
    port, values = free_port(), environment.read_env(tmp_path / "compose.env")
    (tmp_path / "data" / "photos").mkdir(parents=True)
    where = {":8080": f"127.0.0.1:{port}", "/data": str(tmp_path / "data")}
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    store = Process(
        name="s3",
        command=entrypoint("s3", secrets, where),
        environment={**base_environment(), "PATH": programs, "RCLONE_CONFIG": os.devnull},
        log_file=tmp_path / "s3.log",
        ready=lambda: is_open(port),
        payload="rclone",
        port=port,
        stop_seconds=1,
    )
    store.spawn()
    try:
        store.wait_ready(time.monotonic() + 60)
        for secret, refused in ((values["S3_SECRET_KEY"], False), ("0" * 40, True)):
            client = boto3.client(
                "s3",
                endpoint_url=f"http://127.0.0.1:{port}",
                aws_access_key_id=values["S3_ACCESS_KEY"],
                aws_secret_access_key=secret,
                region_name="us-east-1",
                config=Config(retries={"total_max_attempts": 1}, connect_timeout=60, read_timeout=60),
            )
            if refused:
                with pytest.raises(ClientError):
                    client.list_buckets()
            else:
                assert [each["Name"] for each in client.list_buckets()["Buckets"]] == ["photos"]
    finally:
        store.stop()


def test_the_broker_gets_its_cookie_as_its_own_file_and_the_secret_that_it_tells_monitoring(
    secrets: Path, tmp_path: Path
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, script in {
        "install": 'echo "install $*"',
        "docker-entrypoint.sh": 'echo "$* with $LAUNDRY_MQTT_AUTH_SECRET"',
    }.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    done = subprocess.run(
        entrypoint("rabbitmq", secrets),
        env={"PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    values = environment.read_env(tmp_path / "compose.env")
    assert done.stdout.splitlines() == [
        f"install -o rabbitmq -g rabbitmq -m 400 {secrets}/erlang-cookie /var/lib/rabbitmq/.erlang.cookie",
        f"rabbitmq-server with {values['MQTT_AUTH_SECRET']}",
    ]
