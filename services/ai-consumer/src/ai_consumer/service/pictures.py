"""Pictures of a photo for showing, made by the reader while it has time."""

import asyncio
from concurrent.futures import Executor

import structlog
from prometheus_client import Counter

from laundry_events.events import Picture, Pictures, TaskSubmitted
from laundry_reading.errors import PhotoError
from laundry_reading.pictures import EXTENSION, MEDIA_TYPE, Made, make_pictures
from laundry_service.storage.object_store import ObjectStore, ObjectStoreUnavailable

MADE = Counter("laundry_pictures_made", "Photos whose pictures were made with their reading", ["outcome"])

log = structlog.get_logger(__name__)


async def made_pictures(
    store: ObjectStore, worker: Executor, task: TaskSubmitted, photo: bytes, name: str
) -> Pictures | None:
    """Make and store a photo's pictures.

    Returns:
        None if they cannot be made or stored: a reading is worth telling without them.
    """
    folder = f"pictures/{task.branch_id}/{task.task_id}/{name}"
    try:
        made = await asyncio.get_running_loop().run_in_executor(worker, make_pictures, photo)
        display = await _stored(store, made.display, f"{folder}-display.{EXTENSION}")
        thumbnail = await _stored(store, made.thumbnail, f"{folder}-thumbnail.{EXTENSION}")
    except (PhotoError, ObjectStoreUnavailable) as error:
        MADE.labels("failed").inc()
        log.warning("no pictures with this reading", task_id=task.task_id, error=str(error)[:300])
        return None
    MADE.labels("made").inc()
    return Pictures(display=display, thumbnail=thumbnail)


async def _stored(store: ObjectStore, made: Made, key: str) -> Picture:
    await store.put(key, made.data, media_type=MEDIA_TYPE)
    return Picture(key=key, **made.described)
