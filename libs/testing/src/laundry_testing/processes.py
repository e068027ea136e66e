"""Services as processes of their own, as an operator starts them."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from laundry_servers.ports import free_port
from laundry_testing.serving import ready

START_S = 90.0
"""For an interpreter that starts on a machine with much else to do."""


def environment_of(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the environment of this process, with a service's settings in it."""
    return {**os.environ, **{f"LAUNDRY_{name.upper()}": str(value) for name, value in settings.items()}}


@dataclass(frozen=True, slots=True)
class ServiceProcess:
    """A process that runs, and where it answers."""

    process: "subprocess.Popen[bytes]"
    url: str
    log: Path

    async def ready(self) -> None:
        """Wait until it takes requests."""
        async with httpx.AsyncClient(base_url=self.url, timeout=5) as client:
            await ready(client, within_s=START_S)


@dataclass(frozen=True, slots=True)
class ServiceProcesses:
    """Starts services; ``kill`` ends those that still run."""

    logs: Path
    started: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    def start(self, module: str, *arguments: str, **settings: Any) -> ServiceProcess:
        """Run ``python -m module`` with a service's settings, at a free port unless they name one."""
        port = settings.setdefault("port", free_port())
        log = self.logs / f"{module}-{port}-{len(self.started)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - a test's own words
                [sys.executable, "-m", module, *arguments],
                env=environment_of(settings),
                stdout=output,
                stderr=output,
            )
        self.started.append(process)
        return ServiceProcess(process, f"http://127.0.0.1:{port}", log)

    def kill(self) -> None:
        """End those that still run, and wait until they have."""
        for process in self.started:
            process.kill()
            process.wait()
