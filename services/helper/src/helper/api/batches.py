"""``POST /tasks/batch``: several photos in one request, each with an answer of its own."""

import asyncio

import structlog
from fastapi import APIRouter, Request
from starlette.datastructures import UploadFile

from helper.api import fields
from helper.api.permissions import Helper
from helper.api.problems import problem_of_store
from helper.api.submission import submitted
from helper.api.uploads import Limits, check_size, receive_form, text_field, text_fields
from helper.decoder import DecoderBusy
from helper.repository import DatabaseUnavailable
from helper.schemas import BatchBody, BatchItem, TaskBody
from helper.service.submission import Submissions, Upload
from laundry_service.auth.callers import count_more, require_branch
from laundry_service.http.problems import Problem, ProblemDocument, problem_document
from laundry_service.storage.object_store import ObjectStoreUnavailable

MOST_PHOTOS = 20
# Per batch, so that others of the branch need not wait behind all of it.
AT_ONCE = 4

BATCH_BODY = fields.form_body(
    "branch_id",
    "photo",
    photo={
        "type": "array",
        "minItems": 1,
        "maxItems": MOST_PHOTOS,
        "items": {"type": "string", "format": "binary"},
        "description": "Each a file; together they may be as large as one photo of POST /tasks",
    },
    # Not an array: in a form one of one element looks like its element.
    key={
        "type": "string",
        "pattern": f"^{fields.KEY.pattern}$",
        "description": "The Idempotency-Key of a photo; repeated for each, in their order, or left out",
    },
    branch_id=fields.BRANCH_FIELD,
    note={"type": "string", "maxLength": fields.NOTE_CHARS, "description": "Of all photos"},
    load_id={"type": "string", "pattern": f"^({fields.LOAD.pattern})?$"},
)

log = structlog.get_logger(__name__)


def batches_router(submissions: Submissions, limits: Limits) -> APIRouter:
    """Make the endpoint that takes several photos."""
    api = APIRouter(tags=["tasks"])

    @api.post(
        "/tasks/batch",
        status_code=207,
        openapi_extra=BATCH_BODY,
        summary="Submit several photos; each has an answer of its own",
    )
    async def submit(request: Request, principal: Helper) -> BatchBody:
        form = await receive_form(request, limits, files=MOST_PHOTOS)
        try:
            photos = [each for each in form.getlist("photo") if isinstance(each, UploadFile)]
            if not photos:
                raise Problem(422, "photo-missing", "Send each photo as a file in a field 'photo'.")
            branch_id = fields.branch_of(text_field(form, "branch_id"))
            note = fields.note_of(text_field(form, "note"))
            load_id = fields.load_of(text_field(form, "load_id"))
            keys = _keys(text_fields(form, "key"), len(photos))
            require_branch(principal, branch_id)
            count_more(request, principal, len(photos) - 1)
            uploads = [
                Upload(photo.file, photo.size or 0, branch_id, principal.sub, note, key, load_id=load_id)
                for photo, key in zip(photos, keys, strict=True)
            ]
            slots = asyncio.Semaphore(AT_ONCE)

            async def answered(upload: Upload) -> BatchItem:
                async with slots:
                    return await _answer(submissions, upload, limits, request.url.path)

            return BatchBody(items=await asyncio.gather(*map(answered, uploads)))
        finally:
            await form.close()

    return api


async def _answer(submissions: Submissions, upload: Upload, limits: Limits, instance: str) -> BatchItem:
    """Submit one photo; whatever is wrong with it is its answer, and no other's."""
    try:
        check_size(upload.bytes, limits)
        task, replayed = await submitted(submissions, upload)
    except Problem as error:
        problem = error
    except (DecoderBusy, DatabaseUnavailable, ObjectStoreUnavailable) as error:
        problem = problem_of_store(error)
    except Exception:
        # The other photos have been taken, and their answers must arrive.
        log.exception("a photo of a batch failed")
        problem = Problem(
            500,
            "internal-error",
            "Something broke here and was noted. Look whether it was done before you try again.",
        )
    else:
        return BatchItem(status=201, replayed=replayed, task=TaskBody.of(task))
    document = ProblemDocument.model_validate(problem_document(problem, instance))
    return BatchItem(status=problem.status, problem=document)


def _keys(keys: list[str], photos: int) -> list[str] | list[None]:
    if not keys:
        return [None] * photos
    if len(keys) != photos:
        raise Problem(
            422,
            "batch-keys-mismatch",
            f"{len(keys)} keys came with {photos} photos. Send a field 'key' for each photo, in their order, "
            "or none.",
        )
    if len(set(keys)) < len(keys):
        raise Problem(422, "batch-keys-mismatch", "Two photos have the same key. Send each under its own.")
    for key in keys:
        fields.check_key(key)
    return keys
