"""``/tasks/uploads``: a photo in pieces, for a line on which none goes through in one."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from pydantic import BaseModel

from helper.api.permissions import Helper
from helper.api.uploads import Limits, receive_piece, too_large
from helper.service.pieces import Pieces, TooManyPieces, WrongOffset
from helper.service.submission import Submissions
from laundry_service.http.problems import Problem

PIECE_BYTES = 4 * 1024 * 1024
KEY_PATTERN = r"^[\x21-\x7e]{1,200}$"
Key = Annotated[str, Header(pattern=KEY_PATTERN, description="The key that the photo is submitted under")]

PIECE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


class Received(BaseModel):
    """How much of a photo has come."""

    bytes: int


def pieces_router(pieces: Pieces, submissions: Submissions, limits: Limits) -> APIRouter:
    """Make the endpoints that take a photo piece by piece."""
    api = APIRouter(tags=["tasks"])

    @api.get("/tasks/uploads", summary="Ask how much of a photo has come")
    async def received(principal: Helper, idempotency_key: Key) -> Received:
        known = await submissions.known(principal.sub, idempotency_key)
        if known is not None:
            return Received(bytes=known.photo.bytes)
        return Received(bytes=await pieces.received(principal.sub, idempotency_key))

    @api.put(
        "/tasks/uploads", openapi_extra=PIECE_BODY, summary="Send the next piece of a photo, at most 4 MiB"
    )
    async def piece(
        request: Request,
        principal: Helper,
        idempotency_key: Key,
        upload_offset: Annotated[int, Header(ge=0, le=999_999_999, description="Where the piece begins")],
    ) -> Received:
        body = await receive_piece(request, Limits(PIECE_BYTES, limits.idle_s, limits.total_s))
        if upload_offset + len(body) > limits.photo_bytes:
            raise too_large(limits.photo_bytes)
        try:
            return Received(bytes=await pieces.add(principal.sub, idempotency_key, upload_offset, body))
        except WrongOffset as error:
            raise Problem(
                409,
                "upload-offset-wrong",
                f"{error.received} bytes of the photo have come. Go on from there.",
                received_bytes=error.received,
            ) from error
        except TooManyPieces as error:
            raise Problem(
                429,
                "uploads-too-many",
                "Too many uploads of yours have begun. Submit them; others are deleted in time.",
                headers={"Retry-After": "60"},
            ) from error

    return api
