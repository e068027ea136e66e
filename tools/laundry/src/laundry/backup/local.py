"""The stack of this machine: stopped or destroyed, and started again from a backup."""

import dataclasses
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from laundry.backup import creating, restoring, system
from laundry.backup.manifest import Manifest
from laundry.backup.places import Place
from laundry.backup.restoring import Restored
from laundry.paths import StackPaths
from laundry.stack import detached, leftovers, state, stopping
from laundry.stack.launch import Options
from laundry_catalogue import SERVICES
from laundry_servers.choice import Kind
from laundry_servers.errors import LaundryError
from laundry_servers.files import read_json
from laundry_servers.progress import Progress, step

BROKER, DATABASE, BUCKET = "rabbitmq-*", "postgres", "s3"


@dataclass(frozen=True, slots=True)
class Drill:
    """What a drill showed.

    Attributes:
        rpo_seconds: how much was lost: from the moment that the databases are of to the destruction.
        rto_seconds: from the destruction until every service is ready again.
    """

    manifest: Manifest
    restored: Restored
    rpo_seconds: float
    rto_seconds: float


def restore(paths: StackPaths, folder: Path, progress: Progress) -> Restored:
    """Start the stack from a backup, stopping it first if it runs. Raises LaundryError."""
    restoring.usable(folder)
    options = _options(paths)
    running = state.supervisor(paths)
    if running is not None:
        with step(progress, "Stopping"):
            stopping.stop(running)
            leftovers.sweep(paths.var)
            state.forget(paths)
    return _start(paths, folder, options, progress)


def drill(paths: StackPaths, place: Place, scratch: Path, progress: Progress, *, with_objects: bool) -> Drill:
    """Back up the running stack, destroy it as a fire would, and restore it. Raises LaundryError."""
    here = system.running(paths)
    options = _options(paths)
    if options.servers is not Kind.NATIVE:
        raise LaundryError("A drill destroys native servers only: laundry up --servers native")
    made = creating.create(here, place, progress, copy_objects=with_objects).manifest
    folder = place.fetch(made.id, scratch)
    restoring.usable(folder)
    destroyed_at, began = datetime.now(UTC), time.monotonic()
    with step(progress, "Destroying databases, broker" + (" and objects" if with_objects else "")):
        _destroy(paths, with_objects=with_objects)
    restored = _start(paths, folder, options, progress)
    return Drill(made, restored, (destroyed_at - made.held_at).total_seconds(), time.monotonic() - began)


def _destroy(paths: StackPaths, *, with_objects: bool) -> None:
    running = state.supervisor(paths)
    if running is not None:
        # Killed, so nothing is flushed or closed; its children die with it.
        with suppress(psutil.NoSuchProcess):
            running.kill()
            stopping.ended(running, 10)
    leftovers.sweep(paths.var)
    state.forget(paths)
    for pattern in (BROKER, DATABASE, *([BUCKET] if with_objects else [])):
        for folder in paths.data.glob(pattern):
            shutil.rmtree(folder)


def _start(paths: StackPaths, folder: Path, options: Options, progress: Progress) -> Restored:
    # Its messages are newer than the backup and refer to rows that are gone.
    for left in paths.data.glob(BROKER):
        shutil.rmtree(left)
    detached.start(paths, dataclasses.replace(options, restore=folder), progress)
    found = read_json(paths.restored_file)
    if found is None:
        raise LaundryError(f"What came back was not noted. The log: {paths.logs / 'preparation.log'}")
    return Restored.of(found)


def _options(paths: StackPaths) -> Options:
    """How the stack runs now, else as ``laundry up`` would start it."""
    if state.supervisor(paths) is None:
        return Options()
    document, notes = state.running_stack(paths), read_json(paths.processes_file) or {}
    encrypted: dict[str, Any] = {"tls": True} if document.get("tls") else {}
    return Options(
        nodes=len(document["management_urls"]),
        servers=Kind(str(notes["servers"]).partition(" ")[0]),
        services=tuple(each for each in SERVICES if each.processes[0].instances[0] in document["pids"]),
        **encrypted,
    )
