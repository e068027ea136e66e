"""Every error is an RFC 9457 problem document that says what to do."""

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from opentelemetry import trace
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from laundry_service.auth.denials import STATUSES, denied
from laundry_service.http.client_address import client_address

if TYPE_CHECKING:
    from laundry_service.auth.principal import Principal

MEDIA_TYPE = "application/problem+json"
METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")

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
    """Raise this anywhere below an endpoint to answer with a problem document.

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
        # Whom it refuses, for the log only: a token may name somebody and not be taken all the same.
        self.principal: Principal | None = None


def problem_document(problem: Problem, instance: str | None = None) -> dict[str, Any]:
    """Return the members of a problem document, with the trace id of the request."""
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
    return document


def problem_response(problem: Problem, instance: str | None = None) -> JSONResponse:
    """Render a problem as ``application/problem+json``."""
    # Set here too: the answer to an unhandled error bypasses every middleware.
    headers = {"Cache-Control": "no-store", **problem.headers}
    document = problem_document(problem, instance)
    return ProblemResponse(document, problem.status, headers=headers, media_type=MEDIA_TYPE)


class ProblemResponse(JSONResponse):
    """Can quote whatever a caller sent, even lone surrogates and non-finite numbers."""

    def render(self, content: Any) -> bytes:
        """Write the document in UTF-8; half of a surrogate pair becomes a question mark."""
        return json.dumps(content, ensure_ascii=False, separators=(",", ":"), default=str).encode(
            errors="replace"
        )


def _errors(error: RequestValidationError) -> list[dict[str, str]]:
    return [
        {"at": ".".join(str(part) for part in item["loc"]), "problem": str(item["msg"])}
        for item in error.errors()[:20]
    ]


def _is_other_media_type(request: Request, error: RequestValidationError) -> bool:
    """Whether a body was refused because it is not said to be JSON; an absent one is just missing."""
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    is_json = media_type == "application/json" or media_type.endswith("+json")
    whole = any(
        tuple(item["loc"]) == ("body",) and item["type"] not in {"missing", "json_invalid"}
        for item in error.errors()
    )
    return whole and not is_json


def _methods_at(app: FastAPI, request: Request) -> list[str]:
    """Methods of the resource at a path: those documented, else those of every matching route."""
    paths = app.openapi()["paths"]
    for template in sorted(paths, key=lambda template: template.count("{")):
        if re.fullmatch(re.sub(r"\{[^/]+\}", "[^/]+", template), request.url.path):
            return sorted(method.upper() for method in paths[template] if method.upper() in METHODS)

    def takes(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] is Match.FULL for route in app.routes)

    return [method for method in METHODS if takes(method)]


def path_template(scope: Mapping[str, Any]) -> str | None:
    """Return the path of a request as its endpoint declares it; none before one is found."""
    # An endpoint of an included router knows only its own part of the path.
    whole = (scope.get("fastapi") or {}).get("effective_route_context")
    path = getattr(whole, "path", None) or getattr(scope.get("route"), "path", None)
    return path if isinstance(path, str) else None


def _note(request: Request, problem: Problem) -> None:
    if problem.status in STATUSES:
        denied(
            problem.code,
            principal=problem.principal or getattr(request.state, "principal", None),
            address=client_address(request.scope),
            path=path_template(request.scope),
        )


def install_problems(app: FastAPI) -> None:
    """Answer every error of an app with a problem document, also the framework's own."""

    @app.exception_handler(Problem)
    async def on_problem(request: Request, problem: Problem) -> JSONResponse:
        _note(request, problem)
        return problem_response(problem, request.url.path)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        errors = _errors(error)
        first = errors[0] if errors else {"at": "body", "problem": "invalid"}
        if _is_other_media_type(request, error):
            problem = Problem(
                415, "media-type-unsupported", "Send JSON, with the header Content-Type: application/json."
            )
            return problem_response(problem, request.url.path)
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
        headers = dict(error.headers or {})
        if error.status_code == 405:
            # The framework lists those of the first route only.
            headers["Allow"] = ", ".join(_methods_at(app, request))
        problem = Problem(error.status_code, code, str(error.detail), headers=headers)
        _note(request, problem)
        return problem_response(problem, request.url.path)

    @app.exception_handler(ClientDisconnect)
    async def on_left(request: Request, _: ClientDisconnect) -> JSONResponse:
        # Nobody reads this; it keeps disconnects out of the error log.
        return problem_response(Problem(400, "caller-gone", "The request did not end."), request.url.path)

    @app.exception_handler(Exception)
    async def on_bug(request: Request, error: Exception) -> JSONResponse:
        log.exception("unhandled error", path=request.url.path, exc_info=error)
        problem = Problem(
            500,
            "internal-error",
            "Something broke here and was noted. Look whether it was done before you try again.",
        )
        return problem_response(problem, request.url.path)
