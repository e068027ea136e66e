"""The helper's failures as problem documents."""

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from helper.repository import DatabaseUnavailable
from laundry_reading.photo import (
    EmptyPhoto,
    MislabelledPhoto,
    NotAnImage,
    PhotoError,
    TooManyBytes,
    TooManyPixels,
    TruncatedPhoto,
    UnsupportedFormat,
)
from laundry_service.objectstore import ObjectStoreUnavailable
from laundry_service.problems import Problem, problem_response

PHOTO_PROBLEMS: dict[type[PhotoError], tuple[int, str]] = {
    EmptyPhoto: (422, "photo-empty"),
    NotAnImage: (415, "photo-not-an-image"),
    UnsupportedFormat: (415, "photo-format-unsupported"),
    MislabelledPhoto: (415, "photo-mislabelled"),
    TruncatedPhoto: (422, "photo-truncated"),
    TooManyBytes: (413, "photo-too-large"),
    TooManyPixels: (422, "photo-too-many-pixels"),
}
RETRY_AFTER = {"Retry-After": "5"}

log = structlog.get_logger(__name__)


def problem_of_photo(error: PhotoError) -> Problem:
    """Say what is wrong with a photo."""
    status, code = PHOTO_PROBLEMS.get(type(error), (422, "photo-unreadable"))
    return Problem(status, code, str(error))


def install_store_problems(app: FastAPI) -> None:
    """Answer 503 while a store is away: what was sent may be sent again, it makes one task."""

    @app.exception_handler(DatabaseUnavailable)
    async def on_database(request: Request, error: DatabaseUnavailable) -> JSONResponse:
        return _away("database-unavailable", "The database", request, error)

    @app.exception_handler(ObjectStoreUnavailable)
    async def on_store(request: Request, error: ObjectStoreUnavailable) -> JSONResponse:
        return _away("photo-store-unavailable", "The photo store", request, error)


def _away(code: str, what: str, request: Request, error: Exception) -> JSONResponse:
    log.warning("a store is away", code=code, error=str(error)[:500])
    problem = Problem(
        503,
        code,
        f"{what} is not reachable just now. Send the request again in a few seconds.",
        headers=RETRY_AFTER,
    )
    return problem_response(problem, request.url.path)
