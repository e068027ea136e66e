"""What `helm test` runs, as its containers run it: a token of the provider's key, a photo through web."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from laundry.paths import StackPaths
from laundry.stack.environment import public_url
from laundry_servers.files import read_json
from tests.stack.conftest import laundry

pytestmark = [pytest.mark.stack, pytest.mark.servers, pytest.mark.timeout(300)]


@pytest.fixture
def token(stack: dict[str, Any], stack_folder: Path, tmp_path: Path) -> Path:
    secrets = read_json(StackPaths(stack_folder).secrets_file)
    assert secrets is not None
    file = tmp_path / "token"
    subprocess.run(
        [sys.executable, "-m", "identity.oidc.token_of_a_helper", "--branch", "helm-test", "--to", str(file)],
        env={
            **os.environ,
            "LAUNDRY_SIGNING_KEYS": secrets["sign_in"]["signing_key"],
            "LAUNDRY_PUBLIC_URL": public_url(stack["identity_url"]),
        },
        check=True,
        timeout=60,
    )
    return file


def test_a_photo_goes_through_the_whole_system_and_its_reading_is_told(
    stack: dict[str, Any], stack_folder: Path, token: Path
) -> None:
    asked = ("--web", stack["web_url"], "--token", str(token))
    done = laundry(stack_folder, "check-reading", *asked)
    assert done.returncode == 0, done.stdout + done.stderr
    uploaded, read = done.stdout.splitlines()
    assert uploaded.startswith("uploaded t-shirt-1.jpg: task ")
    assert read.startswith("read as ")


def test_who_may_not_upload_is_told_why_and_a_wrong_address_in_time(
    stack: dict[str, Any], stack_folder: Path, token: Path
) -> None:
    asked = ("--web", stack["web_url"], "--token", str(token))
    refused = laundry(stack_folder, "check-reading", *asked, "--branch", "b1")
    assert refused.returncode == 1
    assert "POST /tasks was answered 403" in refused.stderr
    nobody = ("--web", "http://127.0.0.1:9", "--token", str(token), "--timeout", "1")
    away = laundry(stack_folder, "check-reading", *nobody)
    assert away.returncode == 1
    assert "cannot be reached (ConnectError)" in away.stderr
