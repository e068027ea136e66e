"""A task's photo over HTTP: a picture of it for all who may see the task, the whole photo for operators.

Nothing that is sent tells where and with what it was taken.
"""

import hashlib
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse

from helper.api.permissions import Viewer, visible
from helper.retention import kept_days
from helper.service.pictures import PictureService
from helper.tasks import Task
from laundry_events.events import Photo
from laundry_reading.errors import PhotoError
from laundry_service.http.caching import ASKED_AGAIN, is_known
from laundry_service.http.problems import Problem
from laundry_service.storage.database import Database
from laundry_service.storage.object_store import ObjectMissing, ObjectStore

Size = Literal["display", "thumbnail", "original"]
NO_SNIFFING = {"X-Content-Type-Options": "nosniff"}


def photos_router(database: Database, store: ObjectStore, pictures: PictureService) -> APIRouter:
    """Make the endpoint of a task's photo."""
    api = APIRouter(tags=["tasks"])

    @api.get(
        "/tasks/{task_id}/photo",
        response_class=StreamingResponse,
        responses={200: {"content": {"image/*": {}}}, 304: {"description": "The picture that you have"}},
        summary="Fetch a picture of a task's photo; the whole photo is for operators",
    )
    async def photo(
        principal: Viewer,
        task_id: str,
        size: Annotated[
            Size, Query(description="Longest side 1600 or 320; or the photo as it was sent, without metadata")
        ] = "display",
        if_none_match: Annotated[str | None, Header()] = None,
    ) -> Response:
        task = await visible(database, principal, task_id)
        if task.photo_deleted_at is not None:
            raise _photo_deleted(task, task.photo_deleted_at)
        if size == "original":
            if principal.role != "operator":
                raise Problem(
                    403,
                    "original-forbidden",
                    "The whole photo is for operators only. Ask for size=display.",
                )
            if task.original_deleted_at is not None:
                raise Problem(
                    410,
                    "photo-original-deleted",
                    "Who took the photo was forgotten, and the file that could tell of them with them; "
                    "size=display is still there.",
                )
            try:
                return _whole(task.photo, await pictures.bare(task), if_none_match)
            except ObjectMissing as error:
                raise _photo_missing() from error
            except PhotoError as error:
                raise _not_showable(error) from error
        try:
            made = await pictures.of(task)
            try:
                return await _sent(store, getattr(made, size), if_none_match)
            except ObjectMissing:
                made = await pictures.remade(task)
                return await _sent(store, getattr(made, size), if_none_match)
        except ObjectMissing as error:
            raise _photo_missing() from error
        except PhotoError as error:
            raise _not_showable(error) from error

    return api


def _whole(photo: Photo, data: bytes, if_none_match: str | None) -> Response:
    etag = f'"{hashlib.sha256(data).hexdigest()}"'
    headers = {"ETag": etag, "Cache-Control": ASKED_AGAIN}
    if is_known(etag, if_none_match):
        return Response(status_code=304, headers=headers)
    return Response(data, headers=headers | NO_SNIFFING, media_type=photo.media_type)


async def _sent(store: ObjectStore, photo: Photo, if_none_match: str | None) -> Response:
    etag = f'"{photo.sha256}"'
    # A picture never changes, but who may see it does: browsers must revalidate.
    headers = {"ETag": etag, "Cache-Control": ASKED_AGAIN}
    if is_known(etag, if_none_match):
        return Response(status_code=304, headers=headers)
    content = await store.stream(photo.key)
    headers |= {"Content-Length": str(photo.bytes), **NO_SNIFFING}
    return StreamingResponse(content, headers=headers, media_type=photo.media_type)


def _not_showable(error: PhotoError) -> Problem:
    return Problem(
        422, "photo-not-showable", f"There is no picture of this photo. {error}", reason=error.code
    )


def _photo_deleted(task: Task, deleted_at: datetime) -> Problem:
    confirmed_at = None if task.confirmation is None else task.confirmation.confirmed_at
    days = kept_days(task.submitted_at, confirmed_at, deleted_at)
    return Problem(
        410,
        "photo-deleted",
        f"The photo was kept for {days} days and then deleted.",
        deleted_at=deleted_at.isoformat(),
        kept_days=days,
    )


def _photo_missing() -> Problem:
    return Problem(
        404, "photo-missing", "The photo of this task is no longer in the store. Tell the operator."
    )
