"""Every error is an RFC 9457 problem document that says what to do."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from opentelemetry import trace
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"

log = structlog.get_logger(__name__)


class ProblemDocument(BaseModel):
    """The body of an error (RFC 9457 §3); ``code`` is the stable word for programs."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str | None = None


class Problem(Exception):
    """Raise it anywhere below an endpoint to answer with a problem document.

    Args:
        status: the HTTP status.
        code: a stable word in kebab-case, e.g. ``photo-too-large``; ends the ``type`` URI.
        detail: one or two sentences: what is wrong and what to do.
        headers: response headers, e.g. ``Retry-After``.
        extra: further members of the document.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})
        self.extra = extra


def problem_response(problem: Problem, instance: str | None = None) -> JSONResponse:
    """Render a problem."""
    document: dict[str, Any] = {
        "type": f"urn:laundry:problem:{problem.code}",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        "instance": instance,
        **problem.extra,
    }
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        document["trace_id"] = format(context.trace_id, "032x")
    # Said here too: the answer to a bug is made outside of every middleware.
    headers = {"Cache-Control": "no-store", **problem.headers}
    return JSONResponse(document, problem.status, headers=headers, media_type=MEDIA_TYPE)


def _errors(error: RequestValidationError) -> list[dict[str, str]]:
    return [
        {"at": ".".join(str(part) for part in item["loc"]), "problem": str(item["msg"])}
        for item in error.errors()[:20]
    ]


def install_problems(app: FastAPI) -> None:
    """Answer every error of an app with a problem document, also the framework's own."""

    @app.exception_handler(Problem)
    async def on_problem(request: Request, problem: Problem) -> JSONResponse:
        return problem_response(problem, request.url.path)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        errors = _errors(error)
        first = errors[0] if errors else {"at": "body", "problem": "invalid"}
        malformed = any(item.get("type") == "json_invalid" for item in error.errors())
        problem = Problem(
            400 if malformed else 422,
            "malformed-json" if malformed else "invalid-request",
            f"{first['at']}: {first['problem']}",
            errors=errors,
        )
        return problem_response(problem, request.url.path)

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> JSONResponse:
        code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
        problem = Problem(error.status_code, code, str(error.detail), headers=error.headers)
        return problem_response(problem, request.url.path)

    @app.exception_handler(Exception)
    async def on_bug(request: Request, error: Exception) -> JSONResponse:
        log.exception("unhandled error", path=request.url.path, exc_info=error)
        problem = Problem(
            500,
            "internal-error",
            "Something broke here and was noted. Look whether it was done before you try again.",
        )
        return problem_response(problem, request.url.path)


PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ProblemDocument, "description": "A problem document (RFC 9457)"},
    "5XX": {"model": ProblemDocument, "description": "A problem document (RFC 9457)"},
}
