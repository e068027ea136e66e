"""The helper's HTTP interface."""

import base64
import binascii
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response

from helper import repository
from helper.api.permissions import Helper, Owner, Viewer, allowed, task_id_of, visible
from helper.api.photos import add_photo
from helper.api.problems import problem_of_photo
from helper.api.uploads import Limits, file_field, receive_form, text_field, too_large
from helper.schemas import ConfirmationRequest, LabelList, TaskBody, TaskList
from helper.service.pictures import Showing
from helper.service.submission import KeyReused, Submitting, Upload
from helper.settings import Settings
from helper.tasks import (
    AlreadyConfirmed,
    NotReadYet,
    RepeatedLabels,
    Status,
    UnknownLabels,
    check_labels,
    confirm,
    confirmed,
)
from laundry_events import Outbox
from laundry_reading.errors import PhotoError
from laundry_service.auth.callers import require_branch
from laundry_service.http.problems import Problem
from laundry_service.storage.database import Database
from laundry_service.storage.object_store import ObjectStore
from laundry_service.streams.changes import Changes
from laundry_service.streams.response import EVENT_STREAM, EventStream

NOTE_CHARS = 500
JSON_BYTES = 64 * 1024
BRANCH = re.compile(r"[a-z0-9-]{1,40}")
KEY = re.compile(r"[\x21-\x7e]{1,200}")
REPLAYED = "Idempotent-Replay"

UPLOAD_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["photo", "branch_id"],
                    "properties": {
                        "photo": {
                            "type": "string",
                            "format": "binary",
                            "description": "JPEG, PNG, WebP, HEIC or AVIF",
                        },
                        "branch_id": {"type": "string", "pattern": "^[a-z0-9-]{1,40}$"},
                        "note": {"type": "string", "maxLength": NOTE_CHARS},
                    },
                }
            }
        },
    }
}


@dataclass(frozen=True)
class Deps:
    """What the endpoints work with."""

    settings: Settings
    database: Database
    store: ObjectStore
    outbox: Outbox
    submitting: Submitting
    showing: Showing
    changes: Changes


def router(deps: Deps) -> APIRouter:
    """Make the endpoints."""
    api = APIRouter(tags=["tasks"])
    _add_upload(api, deps)
    _add_lists(api, deps)
    _add_task(api, deps)
    add_photo(api, deps.database, deps.store, deps.showing)
    _add_confirmation(api, deps)
    return api


def _add_upload(api: APIRouter, deps: Deps) -> None:
    settings = deps.settings
    limits = Limits(settings.photo_max_bytes, settings.upload_idle_s, settings.upload_total_s)

    @api.post("/tasks", status_code=201, openapi_extra=UPLOAD_BODY, summary="Submit a photo")
    async def submit(
        request: Request,
        response: Response,
        principal: Helper,
        idempotency_key: Annotated[
            str | None,
            Header(
                description="The same key is the same task, however often it is sent",
                json_schema_extra={"pattern": f"^{KEY.pattern}$"},
            ),
        ] = None,
    ) -> TaskBody:
        _check_key(idempotency_key)
        form = await receive_form(request, limits)
        try:
            photo = file_field(form, "photo")
            branch_id, note = _branch(text_field(form, "branch_id")), _note(text_field(form, "note"))
            require_branch(principal, branch_id)
            size = photo.size or 0
            if size > settings.photo_max_bytes:
                raise too_large(settings.photo_max_bytes)
            upload = Upload(photo.file, size, branch_id, principal.sub, note, idempotency_key)
            task, replayed = await deps.submitting.submit(upload)
        except PhotoError as error:
            raise problem_of_photo(error) from error
        except KeyReused as error:
            raise Problem(
                422,
                "idempotency-key-reused",
                "This Idempotency-Key was used for another photo, branch or note. Send a new key.",
            ) from error
        finally:
            await form.close()
        response.headers["Location"] = f"/tasks/{task.id}"
        if replayed:
            response.headers[REPLAYED] = "true"
        return TaskBody.of(task)


def _add_lists(api: APIRouter, deps: Deps) -> None:
    settings = deps.settings

    @api.get("/tasks", summary="List tasks, newest first")
    async def listed(
        principal: Viewer,
        status: Annotated[list[Status] | None, Query(description="May be repeated")] = None,
        branch_id: Annotated[str | None, Query(pattern=f"^{BRANCH.pattern}$")] = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: Annotated[str | None, Query(max_length=100)] = None,
    ) -> TaskList:
        branches = None if principal.role == "operator" else principal.branches
        if branch_id is not None:
            require_branch(principal, branch_id)
            branches = frozenset({branch_id})
        before = None if cursor is None else _read_cursor(cursor)
        async with repository.single(deps.database) as connection:
            found = await repository.newest(
                connection, branches=branches, statuses=status or [], before=before, limit=limit + 1
            )
        page = found[:limit]
        more = _cursor(page[-1].id) if len(found) > limit else None
        return TaskList(items=[TaskBody.of(task) for task in page], next_cursor=more)

    @api.get(
        "/tasks/stream",
        response_class=EventStream,
        responses=EVENT_STREAM,
        summary="Changed tasks as server-sent events",
    )
    async def stream(request: Request, principal: Viewer) -> EventStream:
        """Tell `ready` at once, then `task` with the whole task at each change."""
        topics = None if principal.role == "operator" else principal.branches
        return EventStream(request.app.state.streams, deps.changes, principal, topics=topics)

    @api.get("/labels", summary="What may be confirmed")
    async def labels(_: Viewer) -> LabelList:
        return LabelList(items=list(settings.labels))


def _add_task(api: APIRouter, deps: Deps) -> None:
    @api.get("/tasks/{task_id}", summary="Show a task")
    async def show(principal: Viewer, task_id: str) -> TaskBody:
        return TaskBody.of(await visible(deps.database, principal, task_id))


def _add_confirmation(api: APIRouter, deps: Deps) -> None:
    settings = deps.settings

    @api.post(
        "/tasks/{task_id}/confirmation", summary="Confirm or correct a reading", max_body_size=JSON_BYTES
    )
    async def confirmation(
        response: Response, principal: Owner, task_id: str, body: ConfirmationRequest
    ) -> TaskBody:
        counted = body.counted()
        try:
            check_labels(counted, settings.labels)
            async with repository.transaction(deps.database) as session:
                task = allowed(
                    principal, await repository.find(session, task_id_of(task_id), lock=True), task_id
                )
                after = confirm(task, counted, by=principal.sub, at=datetime.now(UTC))
                if after is not task:
                    await repository.change(session, after)
                    await deps.outbox.add(session, confirmed(after))
        except UnknownLabels as error:
            raise Problem(
                422,
                "unknown-label",
                f"Not known: {', '.join(error.unknown)}. Choose from: {', '.join(error.allowed)}.",
                allowed=list(error.allowed),
            ) from error
        except RepeatedLabels as error:
            raise Problem(
                422, "repeated-label", "A label is named twice. Name it once, with its whole count."
            ) from error
        except NotReadYet as error:
            raise Problem(
                409, "task-not-read", "The photo was not read yet. Wait for the reading, then confirm."
            ) from error
        except AlreadyConfirmed as error:
            raise Problem(
                409, "already-confirmed", "The task was confirmed with other labels. Fetch it to see them."
            ) from error
        if after is task:
            response.headers[REPLAYED] = "true"
        return TaskBody.of(after)


def _branch(text: str | None) -> str:
    if text is None or not BRANCH.fullmatch(text):
        raise Problem(
            422,
            "branch-invalid",
            "Send the field 'branch_id': 1 to 40 lower-case letters, digits and hyphens.",
        )
    return text


def _note(text: str | None) -> str | None:
    if text is not None and len(text) > NOTE_CHARS:
        raise Problem(422, "note-too-long", f"A note has at most {NOTE_CHARS} characters.")
    return text or None


def _check_key(key: str | None) -> None:
    if key is not None and not KEY.fullmatch(key):
        raise Problem(
            400, "idempotency-key-invalid", "An Idempotency-Key is 1 to 200 visible ASCII characters."
        )


def _cursor(task_id: str) -> str:
    return base64.urlsafe_b64encode(uuid.UUID(task_id).bytes).decode().rstrip("=")


def _read_cursor(text: str) -> str:
    try:
        return str(uuid.UUID(bytes=base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))))
    except (ValueError, binascii.Error) as error:
        raise Problem(
            422, "cursor-invalid", "Send the next_cursor of the page before, or none for the newest."
        ) from error
