"""Making a backup.

The order matters. First the databases, all of one moment in which nothing is under way between them: the
services' relays are held, what is in the broker's queues is handled, and what is accepted meanwhile waits in
the outboxes, which the dumps have. Then the objects: a photo is stored before its row, so a list that is made
after the databases has every object that they name.
"""

import asyncio
import json
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from laundry.backup import broker, databases, manifest, objects
from laundry.backup.manifest import Manifest
from laundry.backup.places import Place
from laundry.backup.system import System
from laundry_servers.progress import Progress, step
from laundry_service.settings import version_of

DEFINITIONS, DEAD_LETTERS, DUMPS = "broker/definitions.json", "broker/dead-letters.jsonl", "databases"
HOLD_SECONDS = 12.0


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that was made, and how long its relays were held."""

    manifest: Manifest
    held_seconds: float


def create(
    system: System,
    place: Place,
    progress: Progress,
    *,
    copy_objects: bool,
    hold_seconds: float = HOLD_SECONDS,
) -> Made:
    """Make a backup. It is not listed until it is complete.

    Args:
        hold_seconds: how long publishing may be held at most, so that what is under way is handled.

    Raises:
        LaundryError, PlanRefused: nothing is kept.
    """
    with manifest.private(), tempfile.TemporaryDirectory(prefix="laundry-backup-") as scratch:
        name = manifest.new_id(datetime.now(UTC))
        with place.draft(name, Path(scratch)) as draft:
            (draft / DUMPS).mkdir()
            (draft / DEFINITIONS).parent.mkdir()
            work = _create(
                system, place, progress, name, draft, copy_objects=copy_objects, hold_seconds=hold_seconds
            )
            return asyncio.run(work)


async def _create(
    system: System,
    place: Place,
    progress: Progress,
    name: str,
    draft: Path,
    *,
    copy_objects: bool,
    hold_seconds: float,
) -> Made:
    began = time.monotonic()
    with step(progress, "Hold the outboxes until nothing is under way"):
        async with databases.held(system.databases) as held:
            left = await broker.under_way(system.broker, system.amqp_urls, seconds=hold_seconds)
            snapshots = await held.snapshots()
            held_at, held_seconds = datetime.now(UTC), time.monotonic() - began
            for service, snapshot in snapshots.items():
                progress.note("Hold the outboxes until nothing is under way", f"dumping {service}")
                await asyncio.to_thread(databases.dump, snapshot, draft / DUMPS / f"{service}.dump")
    with step(progress, "Broker and dead letters"):
        document = await asyncio.to_thread(broker.definitions, system.broker)
        (draft / DEFINITIONS).write_text(json.dumps(document, indent=1) + "\n")
        dead = await broker.dead_letters(system.amqp_urls, draft / DEAD_LETTERS)
    with step(progress, "Objects" if copy_objects else "List of objects"):
        known = await objects.references(system)
        listed = await asyncio.to_thread(objects.write, system.bucket, draft, known, copy=copy_objects)
    found = Manifest(
        kind=manifest.KIND,
        format=manifest.FORMAT,
        id=name,
        held_at=held_at,
        finished_at=datetime.now(UTC),
        version=version_of("laundry-cli"),
        revisions={service: snapshot.revision for service, snapshot in snapshots.items()},
        under_way=left,
        dead_letters=dead,
        objects=listed,
        files=await asyncio.to_thread(manifest.files_of, draft),
    )
    await asyncio.to_thread(place.keep, draft, found)
    return Made(found, held_seconds)
