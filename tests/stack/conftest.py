"""One whole stack for these tests, started by the command a person would use."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from laundry.demo.browser import chromium_path
from laundry.demo.client import People, Services
from laundry.demo.story import Story
from laundry.paths import StackPaths
from laundry_servers import choice
from laundry_servers.choice import Kind
from laundry_servers.files import read_json
from laundry_servers.identity import LocalIdentity
from laundry_testing.otlp import Receiver, receiving

# Stacks end with the last test that needs them: an idle one still takes a good part of a core.
LAUNDRY = [sys.executable, "-m", "laundry.cli"]


def installed_chromium() -> str:
    """Find Chromium; without it the test is skipped, but never where everything must be tested."""
    path = chromium_path()
    if path is not None:
        return path
    missing = "Chromium is not installed (apt-get install chromium, or set LAUNDRY_CHROMIUM)"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


def folder_for_all(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder that every user may enter: PostgreSQL does not run as root."""
    folder = tmp_path_factory.mktemp("stack")
    for part in (folder, folder.parent):
        part.chmod(0o755)
    return folder


@pytest.fixture(scope="package")
def stack_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_for_all(tmp_path_factory)


def laundry(
    folder: Path, *arguments: str, timeout_s: float = 300, settings: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LAUNDRY_VAR_DIR": str(folder), **(settings or {})}
    return subprocess.run(
        [*LAUNDRY, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


@pytest.fixture(scope="package")
def spans() -> Iterator[Receiver]:
    """Where the stack's processes send their spans."""
    with receiving() as receiver:
        yield receiver


@contextmanager
def running(folder: Path, *options: str, settings: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Run a stack while the block runs; gives its ``var/stack.json``."""
    up = laundry(folder, "up", "--detach", *options, settings=settings)
    assert up.returncode == 0, up.stderr
    document = read_json(StackPaths(folder).stack_file)
    assert document is not None
    yield document
    down = laundry(folder, "down", "--wipe")
    assert down.returncode == 0, down.stderr


@pytest.fixture(scope="package")
def stack(stack_folder: Path, spans: Receiver) -> Iterator[dict[str, Any]]:
    """``var/stack.json`` of the running stack."""
    with running(stack_folder, settings=spans.environment) as document:
        yield document


@pytest.fixture(scope="package")
def encrypted_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_for_all(tmp_path_factory)


@pytest.fixture(scope="package")
def encrypted_stack(encrypted_folder: Path) -> Iterator[dict[str, Any]]:
    """``var/stack.json`` of a running stack whose broker speaks nothing but TLS."""
    if choice.choose().kind is not Kind.NATIVE:
        pytest.skip("the broker here is not ours to set up")
    with running(encrypted_folder, "--tls", settings={}) as document:
        yield document


@pytest.fixture
def people(stack: dict[str, Any], stack_folder: Path) -> People:
    return People(LocalIdentity(StackPaths(stack_folder).identity))


@pytest_asyncio.fixture
async def services(stack: dict[str, Any]) -> AsyncIterator[Services]:
    async with Services(stack) as services:
        yield services


@pytest.fixture
def story(services: Services, people: People, stack_folder: Path) -> Story:
    """A branch of its own with a helper, an owner, a washer and two customers."""
    # Other tests may have both cores.
    return Story(services, people, StackPaths(stack_folder), lambda text: None, patience_s=60)
