"""What browsers are told not to do, on every answer of a server that they reach."""

from collections.abc import Callable, Mapping

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from laundry_service.http.client_address import came_by_tls

# A year, and only for this host: what else lies below its domain is not ours to decide.
HSTS = "max-age=31536000"


class SecurityHeaders:
    """ASGI middleware that adds headers to every answer, whatever the app says of them."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        headers: Mapping[str, str] | Callable[[str], Mapping[str, str]],
        public_https: bool = False,
    ) -> None:
        """Wrap an app; browsers are bound to TLS where it is public over HTTPS, or a request came so.

        ``headers`` are the same for every path, or what a function says of it.
        """
        self.app = app
        self._headers_of = headers if callable(headers) else lambda _: headers
        self._public_https = public_https

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the app and add headers to its answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        wanted = self._headers_of(scope["path"])
        by_tls = self._public_https or came_by_tls(scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in wanted.items():
                    headers[name] = value
                # Valid over TLS only (RFC 6797 §7.2), so an app's own header is dropped.
                del headers["Strict-Transport-Security"]
                if by_tls:
                    headers["Strict-Transport-Security"] = HSTS
            await send(message)

        await self.app(scope, receive, send_with_headers)
