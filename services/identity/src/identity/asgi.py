"""Django as an ASGI app."""

from django.core.asgi import get_asgi_application
from starlette.types import ASGIApp

from identity.configuration import configure
from identity.settings import Settings


def django_app(settings: Settings) -> ASGIApp:
    """Make the app with the pages and the OpenID provider."""
    configure(settings)
    app: ASGIApp = get_asgi_application()
    return app
