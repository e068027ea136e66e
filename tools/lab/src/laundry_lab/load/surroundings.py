"""Where a run was measured: machine, versions, commit. Without them figures mean little."""

import asyncio
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import psutil

from laundry.paths import PROJECT
from laundry_events.dsn import plain_dsn
from laundry_lab.bench.stage import Stage
from laundry_lab.report import machine

PACKAGES = ("faststream", "fastapi", "uvicorn", "uvloop", "aiohttp", "aiormq", "asyncpg")


async def surroundings(stage: Stage | None) -> dict[str, Any]:
    """Describe the machine, the code and, where there is a stack, its servers."""
    found = {
        **machine(),
        "processor": _processor(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "commit": await asyncio.to_thread(_commit),
        "packages": {name: metadata.version(name) for name in PACKAGES},
    }
    if stage is not None:
        found["nodes"] = len(stage.document["amqp_urls"])
        found["servers"] = await _servers(stage)
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "not known"
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "not known")


def _commit() -> str:
    """Return the commit of the code, with ``+`` if files were changed since."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return "not known"
    return f"{head}{'+' if changed else ''}"


def _git(*arguments: str) -> str:
    done = subprocess.run(  # noqa: S603
        ["git", "-C", str(PROJECT), *arguments],  # noqa: S607
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    )
    return done.stdout.strip()


async def _servers(stage: Stage) -> dict[str, str]:
    found: dict[str, str] = {}
    try:
        overview = await asyncio.to_thread(_overview, stage)
        found["RabbitMQ"] = str(overview["rabbitmq_version"])
        connection = await asyncpg.connect(plain_dsn(stage.document["postgres_urls"]["helper"]), timeout=10)
        try:
            found["PostgreSQL"] = str(await connection.fetchval("SHOW server_version"))
        finally:
            await connection.close(timeout=5)
    except (httpx.HTTPError, asyncpg.PostgresError, OSError, KeyError) as error:
        found["not known"] = f"{type(error).__name__}: {error}"[:200]
    return found


def _overview(stage: Stage) -> dict[str, Any]:
    with stage.broker.client() as client:
        document: dict[str, Any] = client.get("/api/overview").raise_for_status().json()
        return document
