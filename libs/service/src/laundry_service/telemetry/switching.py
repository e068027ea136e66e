"""Turns a service's details on and off while it runs: a file of its name, read every two seconds.

A folder suits all ways to run a service: the local stack's, one that Compose mounts, and a ConfigMap, which
reaches every replica without restarting one. No file, or anything but ``off`` in it, means on.
"""

import asyncio
from pathlib import Path

import structlog

from laundry_service.background.task import BackgroundTask
from laundry_service.telemetry.details import switch

EVERY_S = 2.0
OFF = "off"

log = structlog.get_logger(__name__)


class TelemetrySwitching:
    """Turns this process's details on and off as the file says; without a folder it does nothing."""

    def __init__(self, folder: Path | None, service: str) -> None:
        """Watch the file of ``service`` in ``folder``."""
        self._file = None if folder is None else folder / service
        self._watching = BackgroundTask("telemetry switch", self.look, every_s=EVERY_S)

    async def start(self) -> None:
        """Start to watch the file, if there is one."""
        if self._file is not None:
            await self._watching.start()

    async def stop(self) -> None:
        """Stop watching the file."""
        await self._watching.stop()

    async def look(self) -> None:
        """Read the file once."""
        wanted = await asyncio.to_thread(self._read)
        if wanted != switch.wanted:
            switch.turn(wanted)
            log.info("detailed telemetry was switched", on=wanted, exported=switch.exported)

    def _read(self) -> bool:
        try:
            return self._file is None or self._file.read_text(errors="replace").strip().lower() != OFF
        except FileNotFoundError:
            return True
