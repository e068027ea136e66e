"""Restores a backup: databases, then what the bucket lacks, then what the two disagree on.

What the outboxes of the backup hold is published again once the services start; consumers whose databases are
of the same moment have not seen it, and an inbox makes whatever comes twice one effect.
"""

import asyncio
import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from laundry.backup import broker, databases, manifest, objects
from laundry.backup.creating import DEFINITIONS, DUMPS
from laundry.backup.manifest import Manifest
from laundry.backup.objects import Disagreement
from laundry.backup.system import System
from laundry_servers.errors import LaundryError
from laundry_servers.progress import Progress, step


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back.

    Attributes:
        outbox: rows by service that are published again once the services start.
        objects: how many were put back into the bucket.
    """

    manifest: Manifest
    outbox: dict[str, int]
    objects: int
    disagreement: Disagreement

    @classmethod
    def of(cls, document: dict[str, Any]) -> "Restored":
        """Read what ``told`` wrote."""
        return cls(
            Manifest.model_validate(document["manifest"]),
            document["outbox"],
            document["objects"],
            Disagreement(**document["disagreement"]),
        )


def usable(folder: Path) -> Manifest:
    """Read a backup's manifest, and look at every file. Raises LaundryError: it cannot be used, and why."""
    file = folder / manifest.NAME
    if not file.is_file():
        raise LaundryError(f"{folder} is no backup of this system: it has no {manifest.NAME}.")
    found = manifest.parse(file.read_bytes(), where=str(folder))
    databases.refuse_newer(found.revisions)
    manifest.check(folder, found)
    return found


def restore(system: System, folder: Path, progress: Progress) -> Restored:
    """Replace everything in a system whose services are stopped by a backup.

    Raises:
        LaundryError, PlanRefused: before anything is changed, or with what is left to do.
    """
    found = usable(folder)
    if missing := sorted(found.revisions.keys() - system.databases.keys()):
        raise LaundryError(f"The backup has databases that are missing here: {', '.join(missing)}.")
    urls = {name: system.databases[name] for name in found.revisions}
    return asyncio.run(_restore(system, urls, folder, found, progress))


def told(found: Restored) -> dict[str, Any]:
    """Return what came back as JSON, to be read by another process (``Restored.of``)."""
    return {
        "manifest": found.manifest.model_dump(mode="json"),
        "outbox": found.outbox,
        "objects": found.objects,
        "disagreement": dataclasses.asdict(found.disagreement),
    }


async def _restore(
    system: System, urls: Mapping[str, str], folder: Path, found: Manifest, progress: Progress
) -> Restored:
    await databases.refuse_those_in_use(urls)
    with step(progress, "Databases"):
        for name, url in urls.items():
            progress.note("Databases", name)
            await databases.restore(url, name, folder / DUMPS / f"{name}.dump")
    if not system.local:
        # Users with their passwords. Here the plan is applied at the start, with the passwords of the stack.
        with step(progress, "Broker"):
            document = json.loads((folder / DEFINITIONS).read_text())
            await asyncio.to_thread(broker.put_back, system.broker, document)
            # What waits there is newer than the backup and refers to rows that are gone.
            await asyncio.to_thread(broker.purge, system.broker)
    number = 0
    if found.objects.copied:
        with step(progress, "Objects"):
            number = await asyncio.to_thread(objects.put_back, system.bucket, folder)
    named = await objects.references(system)
    there = await asyncio.to_thread(lambda: list(objects.listed(system.bucket)))
    return Restored(found, await _waiting(urls), number, objects.disagreement(named, there))


async def _waiting(urls: Mapping[str, str]) -> dict[str, int]:
    query = "SELECT count(*)::int FROM outbox"
    counts = {}
    for name, url in urls.items():
        has = await databases.rows(url, name, "SELECT to_regclass('public.outbox') IS NOT NULL")
        if has[0][0]:
            counts[name] = int((await databases.rows(url, name, query))[0][0])
    return {name: count for name, count in counts.items() if count}
