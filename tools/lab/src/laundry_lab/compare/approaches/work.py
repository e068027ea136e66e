"""The work on a photo, the same in every design: read it with the shipped model, or nothing at all."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from laundry_events.events import Photo, TaskSubmitted
from laundry_lab.bench import bare_reading

READING, NOTHING = "reading", "nothing"


class Effect(NamedTuple):
    """The row that a photo leaves; times are seconds of the machine's monotonic clock."""

    task_id: str
    worker: str
    received_at: float
    done_at: float


INSERT = "INSERT INTO effects (task_id, worker, received_at, done_at) VALUES ($1, $2, $3, $4)"

# No key, so that what is done twice is seen twice.
SCHEMA = """
CREATE TABLE effects (
    task_id text NOT NULL, worker text NOT NULL,
    received_at double precision NOT NULL, done_at double precision NOT NULL
)
"""


def photo_event(task_id: str, work: str) -> TaskSubmitted:
    """Return the event of a photo; its key names the work that it gives."""
    photo = Photo(key=f"{work}/{task_id}.jpg", sha256="0" * 64, bytes=20_000, media_type="image/jpeg")
    return TaskSubmitted(
        task_id=task_id,
        task_version=1,
        branch_id="compare",
        helper_id="compare-helper",
        photo=photo,
        submitted_at=datetime.now(UTC),
    )


class Work:
    """Does the work of one worker, one photo at a time, and tells when an effect is committed."""

    def __init__(self, worker: str, picture: Path | None, committed: Callable[[Effect, float], None]) -> None:
        """Work in the name of ``worker``; without a ``picture`` only on photos that give no work."""
        self._worker = worker
        self._picture = picture.read_bytes() if picture is not None else b""
        self._committed = committed
        self._thread = ThreadPoolExecutor(1)

    async def warm_up(self) -> None:
        """Load the model and read once."""
        if self._picture:
            await self._read()

    async def do(self, photo: TaskSubmitted) -> Effect:
        """Do what a photo asks for; returns the effect to store, in the design's own transaction."""
        received = time.monotonic()
        if photo.photo.key.startswith(READING):
            await self._read()
        return Effect(photo.task_id, self._worker, received, time.monotonic())

    def committed(self, effect: Effect) -> None:
        """Tell that an effect is stored."""
        self._committed(effect, time.monotonic())

    async def _read(self) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._thread, bare_reading.read_one, bare_reading.model_file(), self._picture
        )
