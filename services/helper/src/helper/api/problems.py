"""The helper's failures as problem documents."""

from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from helper.decoder import DecoderBusy
from helper.repository import DatabaseUnavailable
from laundry_reading.errors import (
    DamagedPhoto,
    EmptyPhoto,
    NotAnImage,
    PhotoError,
    TooManyBytes,
    TooManyPixels,
    TruncatedPhoto,
    UnsupportedEncoding,
    UnsupportedFormat,
)
from laundry_service.http.problems import Problem, problem_response
from laundry_service.storage.object_store import ObjectStoreUnavailable

PHOTO_PROBLEMS: dict[type[PhotoError], tuple[int, str]] = {
    EmptyPhoto: (422, "photo-empty"),
    NotAnImage: (415, "photo-not-an-image"),
    UnsupportedFormat: (415, "photo-format-unsupported"),
    UnsupportedEncoding: (415, "photo-encoding-unsupported"),
    TruncatedPhoto: (422, "photo-truncated"),
    DamagedPhoto: (422, "photo-damaged"),
    TooManyBytes: (413, "photo-too-large"),
    TooManyPixels: (422, "photo-too-many-pixels"),
}
RETRY_AFTER = {"Retry-After": "5"}
STORES: dict[type[Exception], tuple[str, str]] = {
    DatabaseUnavailable: ("database-unavailable", "The database"),
    ObjectStoreUnavailable: ("photo-store-unavailable", "The photo store"),
}

log = structlog.get_logger(__name__)


# Each kind that people do send has a code of its own, for a text in their language that says what to do.
FORMAT_CODES = {
    "JPEG XL": "photo-is-jpeg-xl",
    "TIFF": "photo-is-tiff",
    "camera raw": "photo-is-raw",
    "GIF": "photo-is-gif",
    "SVG": "photo-is-svg",
    "PDF": "photo-is-pdf",
    "video": "photo-is-video",
    "HEIF sequence": "photo-is-video",
}


def problem_of_photo(error: PhotoError) -> Problem:
    """Say what is wrong with a photo, and what to do."""
    status, code = PHOTO_PROBLEMS.get(type(error), (422, "photo-unreadable"))
    if isinstance(error, UnsupportedFormat):
        code = FORMAT_CODES.get(str(error.facts.get("format")), code)
    facts: Any = error.facts
    return Problem(status, code, str(error), **facts)


def problem_of_store(error: Exception) -> Problem:
    """Say that a store is away, or that too much is to be decoded just now."""
    if isinstance(error, DecoderBusy):
        detail = "Too many photos are to be decoded just now. Send the request again in a few seconds."
        return Problem(503, "photo-decoder-busy", detail, headers=RETRY_AFTER)
    code, what = STORES[type(error)]
    log.warning("a store is away", code=code, error=str(error)[:500])
    detail = f"{what} is not reachable just now. Send the request again in a few seconds."
    return Problem(503, code, detail, headers=RETRY_AFTER)


def install_store_problems(app: FastAPI) -> None:
    """Answer 503 while a store is away or too much is to be decoded: what was sent may be sent again, it
    makes one task.
    """

    @app.exception_handler(DecoderBusy)
    @app.exception_handler(DatabaseUnavailable)
    @app.exception_handler(ObjectStoreUnavailable)
    async def on_store(request: Request, error: Exception) -> JSONResponse:
        return problem_response(problem_of_store(error), request.url.path)
