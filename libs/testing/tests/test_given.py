"""Servers that somebody else runs serve the tests as well."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.servers


def test_another_pytest_run_takes_the_servers_that_it_is_given(given_servers: dict[str, str]) -> None:
    tests = Path(__file__).with_name("test_plugin.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", str(tests), "-q", "-p", "no:cacheprovider", "-k", "not fcm"],
        env={**os.environ, **given_servers},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "given (addresses in the environment)" in done.stdout
    assert "7 passed" in done.stdout
