"""``POST /tasks``: a photo is submitted."""

import contextlib
import uuid
from tempfile import SpooledTemporaryFile
from typing import Annotated, BinaryIO, cast

from fastapi import APIRouter, Header, Request, Response
from starlette.datastructures import UploadFile

from helper.api import fields
from helper.api.permissions import Helper
from helper.api.problems import problem_of_photo
from helper.api.uploads import Limits, check_size, file_field, receive_form, text_field, text_fields
from helper.schemas import REPLAYED, TaskBody
from helper.service.pieces import Pieces
from helper.service.submission import KeyReused, Replaced, Submissions, Upload
from helper.tasks import NotReplaceable, Task
from laundry_reading.errors import PhotoError
from laundry_service.auth.callers import require_branch
from laundry_service.http.problems import Problem
from laundry_service.storage.object_store import ObjectStoreUnavailable

MOST_REPLACED = 16
SPOOLED_BYTES = 1024 * 1024
# Why one photo cannot take the place of another.
NOT_REPLACEABLE = {
    "unknown": (404, "replaced-task-not-found", "There is no photo of yours in this branch to take again."),
    "confirmed": (
        409,
        "replaced-task-confirmed",
        "The owner has confirmed the photo that this one was to replace. Send it without 'replaces', or not.",
    ),
    "too-old": (
        409,
        "replaced-task-too-old",
        "The photo that this one was to replace is too old for that. Send it without 'replaces', or not.",
    ),
}

UPLOAD_BODY = fields.form_body(
    "branch_id",
    photo=fields.photo_field("JPEG, PNG, WebP, HEIC or AVIF"),
    pieces={
        "type": "integer",
        "description": "Instead of photo: its bytes, which came by PUT /tasks/uploads under this "
        "Idempotency-Key",
    },
    branch_id=fields.BRANCH_FIELD,
    note={"type": "string", "maxLength": fields.NOTE_CHARS},
    load_id={
        "type": "string",
        "pattern": f"^{fields.LOAD.pattern}$",
        "description": "What the photos of one load have in common; yours to choose",
    },
    replaces={
        "type": "array",
        "maxItems": MOST_REPLACED,
        "items": {"type": "string"},
        "description": "Photos that this one was taken instead of, which are withdrawn: 'task:' and a task's "
        "id, or 'key:' and the Idempotency-Key of an upload whose answer never came, which then makes no "
        "task any more",
    },
)


def submission_router(submissions: Submissions, pieces: Pieces, limits: Limits) -> APIRouter:
    """Make the endpoint that takes photos."""
    api = APIRouter(tags=["tasks"])

    @api.post("/tasks", status_code=201, openapi_extra=UPLOAD_BODY, summary="Submit a photo")
    async def submit(
        request: Request,
        response: Response,
        principal: Helper,
        idempotency_key: Annotated[
            str | None,
            Header(
                description="The same key is the same task, however often it is sent",
                json_schema_extra={"pattern": f"^{fields.KEY.pattern}$"},
            ),
        ] = None,
    ) -> TaskBody:
        fields.check_key(idempotency_key)
        async with contextlib.AsyncExitStack() as stack:
            form = await receive_form(request, limits)
            stack.push_async_callback(form.close)
            declared = text_field(form, "pieces")
            photo = (
                file_field(form, "photo")
                if declared is None
                else await _put_together(pieces, submissions, principal.sub, idempotency_key, declared)
            )
            stack.push_async_callback(photo.close)
            branch_id = fields.branch_of(text_field(form, "branch_id"))
            note = fields.note_of(text_field(form, "note"))
            require_branch(principal, branch_id)
            size = photo.size or 0
            check_size(size, limits)
            upload = Upload(
                photo.file,
                size,
                branch_id,
                principal.sub,
                note,
                idempotency_key,
                load_id=fields.load_of(text_field(form, "load_id")),
                replaces=_replaced(text_fields(form, "replaces")),
            )
            task, replayed = await submitted(submissions, upload)
        if declared is not None and idempotency_key is not None:
            # What cannot be deleted just now is when it is old.
            with contextlib.suppress(ObjectStoreUnavailable):
                await pieces.drop(principal.sub, idempotency_key)
        response.headers["Location"] = f"/tasks/{task.id}"
        if replayed:
            response.headers[REPLAYED] = "true"
        return TaskBody.of(task)

    return api


async def submitted(submissions: Submissions, upload: Upload) -> tuple[Task, bool]:
    """Submit an upload; returns its task, and whether an earlier one had made it.

    Raises:
        Problem: it is not taken.
        DecoderBusy, ObjectStoreUnavailable, DatabaseUnavailable: as ``Submissions.submit``.
    """
    try:
        return await submissions.submit(upload)
    except PhotoError as error:
        raise problem_of_photo(error) from error
    except KeyReused as error:
        raise Problem(
            422,
            "idempotency-key-reused",
            "This Idempotency-Key was used for another photo, branch or note. Send a new key.",
        ) from error
    except NotReplaceable as error:
        raise Problem(*NOT_REPLACEABLE[error.why]) from error


async def _put_together(
    pieces: Pieces, submissions: Submissions, helper_id: str, key: str | None, declared: str
) -> UploadFile:
    """Return a photo that came in pieces, as if it had come in one; the caller closes it.

    Raises:
        Problem: not all of it is there.
    """
    if key is None:
        raise Problem(422, "idempotency-key-missing", "Send the Idempotency-Key of the pieces.")
    file = SpooledTemporaryFile(max_size=SPOOLED_BYTES)  # noqa: SIM115 - closed with what is returned
    size = await pieces.put_together(helper_id, key, into=file)
    known = None if str(size) == declared else await submissions.known(helper_id, key)
    if known is not None:
        # The answer to an earlier request was lost, and the pieces are gone.
        size = await pieces.copy(known.photo.key, into=file)
    if str(size) != declared:
        file.close()
        raise Problem(
            409,
            "upload-pieces-missing",
            f"{size} bytes of the photo have come, not {declared[:12]!r} as 'pieces' says. Send the rest.",
            received_bytes=size,
        )
    return UploadFile(cast("BinaryIO", file), size=size)


def _replaced(texts: list[str]) -> tuple[Replaced, ...]:
    if len(texts) > MOST_REPLACED:
        raise Problem(422, "replaces-too-many", f"A photo replaces at most {MOST_REPLACED} others.")
    return tuple(_one_replaced(text) for text in texts)


def _one_replaced(text: str) -> Replaced:
    kind, _, name = text.partition(":")
    if kind == "key" and fields.KEY.fullmatch(name):
        return Replaced(key=name)
    if kind == "task":
        try:
            return Replaced(task_id=str(uuid.UUID(name)))
        except ValueError:
            pass
    raise Problem(
        422,
        "replaces-invalid",
        "Send 'replaces' as 'task:' and a task's id, or 'key:' and an Idempotency-Key.",
    )
