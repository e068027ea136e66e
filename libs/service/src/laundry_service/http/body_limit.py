"""Bounds request bodies while they arrive, before the caller is authenticated."""

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from laundry_service.http.problems import Problem, problem_response

MAX_BODY_BYTES = 64 * 1024


class BodyLimit:
    """ASGI middleware that answers 413 to a body over ``max_bytes``.

    Args:
        elsewhere: paths whose endpoints bound their bodies themselves (photos, telemetry).
    """

    def __init__(
        self, app: ASGIApp, *, max_bytes: int = MAX_BODY_BYTES, elsewhere: Collection[str] = ()
    ) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._elsewhere = frozenset(elsewhere)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, counting its bytes."""
        if scope["type"] != "http" or scope["path"] in self._elsewhere:
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared) > self._max_bytes:
            answer = problem_response(Problem(413, "request-entity-too-large", self._detail()), scope["path"])
            await answer(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise HTTPException(413, self._detail())
            return message

        await self._app(scope, counted, send)

    def _detail(self) -> str:
        return f"The body is larger than the {self._max_bytes} bytes that are taken here. Send less at once."
