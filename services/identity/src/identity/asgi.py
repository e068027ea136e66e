"""Django as an ASGI app, and what browsers are told about its pages."""

from typing import cast

from django.core.asgi import get_asgi_application
from django.urls import get_resolver
from starlette.types import ASGIApp, Receive, Scope, Send

from identity.configuration import configure
from identity.oidc.turns import TakingTurns
from identity.settings import Settings
from laundry_service.http.client_address import came_by_tls, client_address


def django_app(settings: Settings) -> ASGIApp:
    """Make the app with the pages and the OpenID provider."""
    configure(settings)
    # Django's types ask for more than ASGI promises.
    app = cast("ASGIApp", get_asgi_application())
    # Every page's modules: the first visitor does not wait for them.
    assert get_resolver().url_patterns
    # The other half of the connections is for what servers and programs ask.
    pages = TakingTurns(app, at_once=max(1, settings.database_pool // 2))
    return AtPublicAddress(pages, settings)


class AtPublicAddress:
    """Lets Django see the public address and the caller's own, whatever a Host or Forwarded header says.

    No stranger's Host ends in a mail or a redirect. What was asked is in the scope's ``asked_at``: a scheme,
    and a host with its port.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app = app
        self._scheme, _, host = settings.issuer.partition("://")
        self._host = host.partition("/")[0]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to Django if its host is the public address."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        asked = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
        headers = [(name, value) for name, value in scope["headers"] if name != b"host"]
        shown = {
            **scope,
            # Django's addresses end with a slash, which the services' own ignore.
            "path": scope.get("path_asked", scope["path"]),
            "scheme": self._scheme,
            "headers": [(b"host", self._host.encode()), *headers],
            "client": (client_address(scope), 0),
            "asked_at": ("https" if came_by_tls(scope) else "http", asked or self._host),
        }
        await self.app(shown, receive, send)


def security_headers(settings: Settings) -> dict[str, str]:
    """Return the headers of every answer: only what is from here runs, and nobody frames it."""
    policy = [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "base-uri 'none'",
        # Chromium holds a form's whole chain of redirects against this: a sign-in ends at the pages.
        f"form-action 'self' {' '.join(settings.pages)}",
        "frame-ancestors 'none'",
    ]
    return {
        "Content-Security-Policy": "; ".join(policy),
        "X-Content-Type-Options": "nosniff",
        # Not no-referrer, with which browsers send `Origin: null` and Django refuses the form.
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    }
