"""``POST /previews``: what the model sees in a photo, before it is submitted."""

from fastapi import APIRouter, Request

from helper.api.fields import BRANCH_FIELD, branch_of, form_body, photo_field
from helper.api.permissions import Helper
from helper.api.problems import problem_of_photo
from helper.api.uploads import Limits, check_size, file_field, receive_form, text_field
from helper.schemas import PreviewBody
from helper.service.previews import MAX_BYTES, WITHIN_S, Previews
from laundry_events import NoAnswer, PublishError
from laundry_reading.errors import PhotoError
from laundry_service.auth.callers import require_branch
from laundry_service.http.problems import Problem

AGAIN = {"Retry-After": "2"}

PREVIEW_BODY = form_body(
    "photo",
    "branch_id",
    photo=photo_field(f"JPEG, PNG, WebP, HEIC or AVIF of at most {MAX_BYTES:,} bytes"),
    branch_id=BRANCH_FIELD,
)


def previews_router(previews: Previews, limits: Limits) -> APIRouter:
    """Make the endpoint that shows a reading without a task."""
    api = APIRouter(tags=["previews"])
    small = Limits(min(MAX_BYTES, limits.photo_bytes), limits.idle_s, limits.total_s)

    @api.post(
        "/previews",
        openapi_extra=PREVIEW_BODY,
        summary=f"Read a photo without submitting it; an answer within {WITHIN_S:g} s, or 504",
    )
    async def preview(request: Request, principal: Helper) -> PreviewBody:
        form = await receive_form(request, small)
        try:
            photo, branch_id = file_field(form, "photo"), branch_of(text_field(form, "branch_id"))
            require_branch(principal, branch_id)
            check_size(photo.size or 0, small)
            found = await previews.read(await photo.read(), branch_id)
        except PhotoError as error:
            raise problem_of_photo(error) from error
        except NoAnswer as error:
            raise Problem(
                504,
                "preview-timeout",
                "No reader answered in time. Submit the photo without a preview, or ask again shortly.",
                headers=AGAIN,
            ) from error
        except PublishError as error:
            raise Problem(
                503,
                "preview-unavailable",
                "Previews cannot be had just now. Submit the photo without one, or ask again shortly.",
                headers=AGAIN,
            ) from error
        finally:
            await form.close()
        if found.unreadable_reason is not None:
            raise Problem(
                422,
                "photo-unreadable",
                "The model cannot read this photo. Take it again, or submit it for the owner to look at.",
                reason=found.unreadable_reason,
            )
        return PreviewBody(**found.model_dump(exclude={"unreadable_reason"}))

    return api
