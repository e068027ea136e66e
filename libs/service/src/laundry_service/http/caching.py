"""Response caching: nothing is cached unless the endpoint says so, and never for another caller."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

NOT_KEPT = "no-store"
# Cached by the browser, but revalidated with the caller's own token before use; a 304 suffices.
ASKED_AGAIN = "private, no-cache"


class Caching:
    """ASGI middleware: ``no-store`` where an endpoint says nothing, ``Vary: Authorization`` everywhere."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the app and complete the headers of its answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Cache-Control", NOT_KEPT)
                headers.add_vary_header("Authorization")
            await send(message)

        await self.app(scope, receive, send_with_policy)


def is_known(etag: str, if_none_match: str | None) -> bool:
    """Whether a caller's ``If-None-Match`` names an entity tag (RFC 9110 §13.1.2: compared weakly)."""
    if if_none_match is None:
        return False
    named = {part.strip().removeprefix("W/") for part in if_none_match.split(",")}
    return "*" in named or etag.removeprefix("W/") in named
