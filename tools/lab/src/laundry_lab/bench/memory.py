"""Memory of every idle process, as proportional set size (PSS)."""

import asyncio
import re

from laundry.stack import report
from laundry_catalogue import process_names
from laundry_lab.bench.figures import Figure
from laundry_lab.bench.stage import Stage

MB = 1e6
SERVICE_MB, REPLICA_MB, WHOLE_MB, WITH_IDENTITY_MB = 150, 250, 1400, 1600
REPLICA = re.compile(r"ai-consumer(-\d+)?$")
GROUP = "Memory at rest (PSS)"


async def measure(stage: Stage) -> list[Figure]:
    """Look at every process of the stack."""
    looked = await asyncio.to_thread(report.look, stage.paths)
    services = set(process_names())
    found = []
    for process in looked.processes:
        target: float | None = None
        if REPLICA.match(process.name):
            target = REPLICA_MB
        elif process.name in services:
            target = SERVICE_MB
        found.append(Figure(GROUP, process.name, process.pss_bytes / MB, "MB", target))
    total = sum(process.pss_bytes for process in looked.processes) / MB
    most = WITH_IDENTITY_MB if "identity_url" in stage.document else WHOLE_MB
    return [*found, Figure(GROUP, "the whole stack", total, "MB", most)]
