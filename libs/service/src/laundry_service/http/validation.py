"""Restricts incoming text to what a database, an event or a log can hold: UTF-8 without NUL.

PostgreSQL stores neither a NUL nor half of a surrogate pair; JSON can say both. Bodies inherit from
``RequestBody``; ``UrlValidation`` looks at paths and queries.
"""

import math
from typing import Any
from urllib.parse import unquote_to_bytes

from pydantic import BaseModel, model_validator
from starlette.types import ASGIApp, Receive, Scope, Send

from laundry_service.http.problems import Problem, problem_response

# JSON's numbers have no bounds; those of a database and of other readers do.
MAX_INTEGER = 2**63 - 1
MAX_DEPTH = 32


def is_storable(text: str) -> bool:
    """Whether text can be stored and sent on."""
    return "\x00" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


def why_not_storable(value: Any, depth: int = 0) -> str | None:
    """Say what of a JSON value cannot be stored; None if all can."""
    if isinstance(value, str):
        return None if is_storable(value) else "text holds a NUL or half of a surrogate pair"
    if isinstance(value, float):
        return None if math.isfinite(value) else "a number is not finite"
    if isinstance(value, int):
        return None if abs(value) <= MAX_INTEGER else "a whole number exceeds 64 bits"
    if isinstance(value, dict | list) and depth >= MAX_DEPTH:
        return f"nested deeper than {MAX_DEPTH} levels"
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list):
        return next((why for each in value if (why := why_not_storable(each, depth + 1))), None)
    return None


class RequestBody(BaseModel):
    """Base of every JSON request body: rejects values that the database cannot store."""

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, value: Any) -> Any:
        if isinstance(value, dict) and (why := why_not_storable(value)):
            raise ValueError(why)
        return value


class UrlValidation:
    """ASGI middleware: paths and queries are UTF-8 without NUL, and a trailing slash is ignored.

    A redirect to the address without the slash would lose the body of an upload.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a path or query that is not valid text, else pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        for said, problem in (
            (
                scope.get("raw_path"),
                Problem(404, "not-found", "The path is no UTF-8 text; nothing is there."),
            ),
            (
                scope.get("query_string"),
                Problem(422, "invalid-request", "The query is no UTF-8 text, or holds a NUL."),
            ),
        ):
            if not _is_text(said or b""):
                await problem_response(problem)(scope, receive, send)
                return
        path = scope["path"]
        if len(path) > 1 and path.endswith("/"):
            raw_path = (scope.get("raw_path") or b"").removesuffix(b"/")
            # An app within, to which the slash matters, finds the path as it was in ``path_asked``.
            scope = {**scope, "path": path[:-1], "raw_path": raw_path, "path_asked": path}
        await self._app(scope, receive, send)


def _is_text(said: bytes) -> bool:
    if b"%" not in said and said.isascii():
        return True
    try:
        return "\x00" not in unquote_to_bytes(said).decode()
    except UnicodeDecodeError:
        return False
