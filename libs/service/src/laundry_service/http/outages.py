"""A database outage is not a bug: the caller gets 503 and may try again."""

import sys

import structlog
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from laundry_service.http.problems import Problem, problem_response
from laundry_service.storage.outages import is_contention, is_outage, is_unstorable

RETRY_AFTER_S = 5
BUSY_AGAIN_S = 1

log = structlog.get_logger(__name__)


def install_outages(app: FastAPI) -> None:
    """Answer 503 with Retry-After while the database is away; what was asked is not known to be done."""

    async def on_error(request: Request, error: Exception) -> JSONResponse:
        if is_contention(error):
            log.warning("rows are held by somebody else", path=request.url.path, error=str(error)[:500])
            busy = Problem(
                503,
                "busy",
                "Somebody else is changing the same thing just now; nothing was done. Send it again soon.",
                headers={"Retry-After": str(BUSY_AGAIN_S)},
            )
            return problem_response(busy, request.url.path)
        if is_unstorable(error):
            log.warning("the database refused a value", path=request.url.path, error=str(error)[:500])
            refused = Problem(
                422,
                "value-unusable",
                "A value of the request, or of its token, cannot be stored: text with a NUL, or a number or"
                " time out of range.",
            )
            return problem_response(refused, request.url.path)
        if not is_outage(error):
            raise error
        log.warning("the database is away", path=request.url.path, error=str(error)[:500])
        problem = Problem(
            503,
            "database-unavailable",
            "The database is not reachable just now; what you asked may not be done. Send it again soon.",
            headers={"Retry-After": str(RETRY_AFTER_S)},
        )
        return problem_response(problem, request.url.path)

    kinds: list[type[Exception]] = [OSError]
    if "sqlalchemy" in sys.modules:
        from sqlalchemy import exc  # noqa: PLC0415

        kinds += [exc.DBAPIError, exc.TimeoutError]
    for kind in kinds:
        app.add_exception_handler(kind, on_error)
